// The task `teacher`: y = (W₀ + ΔW*) x + noise, with a ΔW* that is known.
import { add, dot, filled, identity, mapped, multiplyBy, norm, product, transposed, zeros } from "./matrix.js";
import { normals, randomStream } from "./random.js";
import { svd } from "./spectrum.js";

const STREAMS = { weight: 1, truth: 2, inputs: 3, noise: 4 };

// ΔW* = leftᵀ right before it is brought to the size of W₀; r × d_out and r × d_in, thin where its rank is.
const TRUTHS = {
  "low-rank": (weight, rank, draw) => ({ left: filled(rank, weight.rows, draw), right: filled(rank, weight.columns, draw) }),
  "weight-aware"(weight, rank, draw) {
    const first = filled(rank, weight.rows, draw); // Θ₁ᵀ
    return { left: filled(rank, weight.rows, draw), right: mapped(product(first, weight), (x) => Math.max(x, 0)) };
  },
  "full-rank"(weight, rank, draw) {
    const delta = filled(weight.rows, weight.columns, draw);
    if (weight.rows <= weight.columns) return { left: identity(weight.rows), right: delta };
    return { left: transposed(delta), right: identity(weight.columns) };
  },
};

export function makeTeacher({ kind, dIn, dOut, truth, noise, examples, seed }) {
  const stream = (name) => normals(randomStream(seed, STREAMS[name]));
  const weight = multiplyBy(filled(dOut, dIn, stream("weight")), 1 / Math.sqrt(dIn)); // W₀, d_out × d_in
  const factors = TRUTHS[kind](weight, truth, stream("truth"));
  const size = norm(weight) / norm(product(transposed(factors.left), factors.right)); // ‖ΔW*‖ = ‖W₀‖
  multiplyBy(factors.left, size);
  const delta = product(transposed(factors.left), factors.right); // ΔW*, d_out × d_in
  let data = null; // the examples are drawn when the first step asks for them
  return {
    weight,
    delta,
    spectrum: svd(factors),
    data: () => (data ??= drawExamples(factors, { examples, noise }, stream("inputs"), stream("noise"))),
  };
}

// What is left of y when W₀x is taken away: ΔW* x + noise; that is what an update has to learn.
function drawExamples({ left, right }, { examples, noise }, drawInput, drawNoise) {
  const x = filled(examples, right.columns, drawInput); // n × d_in
  const change = zeros(examples, left.columns); // n × d_out
  for (let i = 0; i < examples; i++)
    for (let k = 0; k < left.rows; k++) {
      const thin = dot(x.values, i * x.columns, right.values, k * x.columns, x.columns);
      add(thin, left.values, k * left.columns, change.values, i * left.columns, left.columns);
    }
  const size = noise * deviation(change.values);
  return { x, change: mapped(change, (value) => value + size * drawNoise()) };
}

function deviation(values) {
  const mean = values.reduce((sum, x) => sum + x, 0) / values.length;
  return Math.sqrt(values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / (values.length - 1));
}
