// The task `teacher`: y = (W₀ + ΔW*) x + noise, with a ΔW* that is known.
import { filled, identity, mapped, multiplyBy, norm, product, productWithTransposed, transposed, zeros } from "./matrix.js";
import { normals, randomStream } from "./random.js";
import { svd } from "./spectrum.js";

const STREAMS = { weight: 1, truth: 2, inputs: 3, noise: 4 };
const BLOCK = 50; // examples that are drawn at once

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
  const examplesOf = { examples, noise, input: stream("inputs"), deviate: stream("noise") };
  const draw = drawExamples(factors, examplesOf);
  return { weight, delta, spectrum: svd(factors), draw, data: () => draw(Infinity) };
}

// What is left of y when W₀x is taken away: ΔW* x + noise; that is what an update has to learn. Returns a function that draws
// until a time (of performance.now) and then returns {x, change}, or null while some are missing.
function drawExamples({ left, right }, { examples, noise, input, deviate }) {
  let [x, change, drawn, isDone] = [zeros(0, 0), zeros(0, 0), 0, false];

  function drawBlock() {
    const block = filled(Math.min(BLOCK, examples - drawn), right.columns, input); // b × d_in
    x.values.set(block.values, drawn * x.columns);
    change.values.set(product(productWithTransposed(block, right), left).values, drawn * change.columns); // b × d_out
    drawn += block.rows;
  }

  function addNoise() {
    const size = noise * deviation(change.values);
    change = mapped(change, (value) => value + size * deviate());
    isDone = true;
  }

  return function draw(end) {
    if (!x.rows) [x, change] = [zeros(examples, right.columns), zeros(examples, left.columns)];
    while (drawn < examples && performance.now() < end) drawBlock();
    if (drawn === examples && !isDone) addNoise();
    return isDone ? { x, change } : null;
  };
}

function deviation(values) {
  let [sum, squares] = [0, 0];
  for (const value of values) sum += value;
  for (const value of values) squares += (value - sum / values.length) ** 2;
  return Math.sqrt(squares / (values.length - 1));
}
