// LoRA and NEAT: parameters, the thin factors of ΔW = leftᵀ right that they make, and gradients back through these.
// Thin matrices lie flat: left is r × d_out, right r × d_in.
import { ACTIVATIONS } from "./activations.js";
import { filled, multiplyBy, product, productWithTransposed, transposed, zeros } from "./matrix.js";

// Uniform in ±1/√fan_in, fan_in the columns: Kaiming's with a = √5, as PEFT draws A and the authors of NEAT their Θ.
const drawn = (rows, columns, uniform) => filled(rows, columns, () => (2 * uniform() - 1) / Math.sqrt(columns));

const scaled = (a, factor) => multiplyBy({ ...a, values: a.values.slice() }, factor);

// ΔW = (α/r)·B A with α = r. Parameters: A (r × d_in) and Bᵀ (r × d_out), which is 0 at the start.
export function lora({ rank }, weight, uniform) {
  const parameters = [drawn(rank, weight.columns, uniform), zeros(rank, weight.rows)];
  return {
    parameters,
    factors: () => ({ left: parameters[1], right: parameters[0] }),
    gradients: (left, right) => [right, left],
    shown: () => ({ matrix: parameters[0], side: "in" }),
  };
}

// Does f act on vectors of length d_out? "auto" takes the shorter side.
export const mapsOut = (orientation, weight) => (orientation === "auto" ? weight.rows <= weight.columns : orientation === "out");

// Paired residuals need an even depth.
export const residualOf = ({ residual, depth }) => (depth % 2 ? "none" : residual);

// ΔWᵀ = s·f(W₀ᵀ), f(M) = σ(…σ(σ(M Θ₁) Θ₂)…) Θ_L; over the inputs ΔW = s·f(W₀). Parameters: Θ₁ᵀ (r × m),
// Θ₂ᵀ … Θ_{L−1}ᵀ (r × r) and Θ_L (r × m), which is 0 at the start.
export function neat(options, weight, uniform) {
  const { rank, depth, scaling } = options;
  const isOut = mapsOut(options.orientation, weight);
  const base = isOut ? weight : transposed(weight); // m × n, the mapped side first
  const inner = Array.from({ length: depth - 2 }, () => rank);
  const parameters = [base.rows, ...inner].map((columns) => drawn(rank, columns, uniform));
  parameters.push(zeros(rank, base.rows));
  const network = hiddenLayers(base, ACTIVATIONS[options.activation], residualOf(options) === "paired");
  const ordered = (mapped, other) => (isOut ? { left: mapped, right: other } : { left: other, right: mapped });
  return {
    parameters,
    factors: () => ordered(scaled(parameters.at(-1), scaling), network.forward(parameters)),
    gradients(left, right) {
      const [last, hidden] = isOut ? [left, right] : [right, left];
      return [...network.backward(parameters, hidden), scaled(last, scaling)];
    },
    shown: () => ({ matrix: network.output(), side: isOut ? "in" : "out" }),
  };
}

// Hᵀ = σ(Θ_{L−1}ᵀ … σ(Θ₂ᵀ σ(Θ₁ᵀ W₀))), r × n; "paired" adds the i-th hidden layer from the front to the i-th from the back.
function hiddenLayers(base, { value, slope }, isPaired) {
  let [before, hidden] = [[], []]; // of each layer: what σ is applied to, and what comes out with its skip, r × n
  const skipInto = (layer, count) => (isPaired && layer > count / 2 ? count - layer : -1); // which layer is added to this one

  function forward(parameters) {
    const thetas = parameters.slice(0, -1);
    [before, hidden] = [[], []];
    for (const [layer, theta] of thetas.entries()) {
      before.push(product(theta, layer ? hidden[layer - 1] : base));
      const out = { ...before[layer], values: before[layer].values.map(value) };
      const skip = skipInto(layer, thetas.length - 1);
      if (skip >= 0) for (let i = 0; i < out.values.length; i++) out.values[i] += hidden[skip].values[i];
      hidden.push(out);
    }
    return hidden.at(-1);
  }

  // Gradients of Θ₁ᵀ … Θ_{L−1}ᵀ from that of Hᵀ, after the forward pass of the same parameters.
  function backward(parameters, gradient) {
    const count = hidden.length - 1;
    const arriving = hidden.map((h) => zeros(h.rows, h.columns));
    arriving[count] = gradient;
    const out = [];
    for (let layer = count; layer >= 0; layer--) {
      const skip = skipInto(layer, count);
      if (skip >= 0) accumulate(arriving[layer], arriving[skip]);
      const slopes = before[layer].values.map((x, i) => arriving[layer].values[i] * slope(x));
      const through = { ...before[layer], values: slopes }; // r × n
      out.unshift(productWithTransposed(through, layer ? hidden[layer - 1] : base));
      if (layer) accumulate(product(transposed(parameters[layer]), through), arriving[layer - 1]);
    }
    return out;
  }

  return { forward, backward, output: () => hidden.at(-1) };
}

function accumulate(from, into) {
  for (let i = 0; i < into.values.length; i++) into.values[i] += from.values[i];
}
