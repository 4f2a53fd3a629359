// σ and its derivative, a row each.

// erf by its series of positive terms (Abramowitz & Stegun 7.1.6): exact to rounding.
export function erf(x) {
  if (Math.abs(x) > 6) return Math.sign(x);
  let [term, sum] = [x, x];
  for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}

const normalBelow = (x) => (1 + erf(x / Math.SQRT2)) / 2;
const density = (x) => Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI);

export const ACTIVATIONS = {
  relu: { value: (x) => (x > 0 ? x : x <= 0 ? 0 : x), slope: (x) => (x > 0 ? 1 : 0) }, // NaN stays NaN
  gelu: { value: (x) => x * normalBelow(x), slope: (x) => normalBelow(x) + x * density(x) },
  tanh: { value: Math.tanh, slope: (x) => 1 - Math.tanh(x) ** 2 },
  sin: { value: Math.sin, slope: Math.cos },
  linear: { value: (x) => x, slope: () => 1 },
};
