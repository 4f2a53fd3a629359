// One arm's training, and what is seen of it.
import { adam } from "./adam.js";
import { lora, neat } from "./adapters.js";
import { add, distance, dot, norm, product, transposed, zeros } from "./matrix.js";
import { effectiveRank, svd } from "./spectrum.js";

export const METHODS = { lora, neat };
const MAX_LOSS_RATIO = 1e4; // to the first step's loss, or to 1 where that was smaller; above it an arm has diverged

// Mean squared error of x ΔWᵀ against the change, and its gradients for both factors, over some rows of the data.
export function lossAndGradients({ left, right }, { x, change }, rows) {
  const [r, dIn, dOut] = [left.rows, right.columns, left.columns];
  const [toLeft, toRight] = [zeros(r, dOut), zeros(r, dIn)];
  const [thin, error] = [new Float64Array(r), new Float64Array(dOut)];
  const factor = 2 / (rows.length * dOut);
  let sum = 0;
  for (const row of rows) {
    for (let j = 0; j < dOut; j++) error[j] = -change.values[row * dOut + j];
    for (let k = 0; k < r; k++) {
      thin[k] = dot(x.values, row * dIn, right.values, k * dIn, dIn);
      add(thin[k], left.values, k * dOut, error, 0, dOut);
    }
    sum += dot(error, 0, error, 0, dOut);
    for (let k = 0; k < r; k++) {
      add(factor * dot(error, 0, left.values, k * dOut, dOut), x.values, row * dIn, toRight.values, k * dIn, dIn);
      add(factor * thin[k], error, 0, toLeft.values, k * dOut, dOut);
    }
  }
  return { loss: sum / (rows.length * dOut), left: toLeft, right: toRight };
}

export function makeArm(method, options, weight, uniform) {
  const adapter = METHODS[method](options, weight, uniform);
  const update = adam(adapter.parameters, options.rate);
  let [firstLoss, stopped, losses] = [null, null, []];

  // Stops before a step that would ruin the weights, as the lab's loop.
  function step(data, rows, number) {
    if (stopped) return;
    const { loss, left, right } = lossAndGradients(adapter.factors(), data, rows);
    firstLoss ??= loss;
    losses.push(loss);
    if (!Number.isFinite(loss) || loss > MAX_LOSS_RATIO * Math.max(firstLoss, 1)) stopped = { step: number, loss };
    else update(adapter.gradients(left, right));
  }

  // What is drawn of it; the loss is the mean over the steps since the last look.
  function look(truth) {
    const factors = adapter.factors();
    const spectrum = svd(factors);
    const delta = product(transposed(factors.left), factors.right);
    const loss = losses.length ? losses.reduce((sum, value) => sum + value, 0) / losses.length : null;
    losses = [];
    return {
      delta,
      spectrum,
      hidden: adapter.shown(),
      error: distance(delta, truth) / norm(truth),
      effectiveRank: effectiveRank(spectrum.sigma),
      norm: norm(delta),
      loss,
      stopped,
    };
  }

  return { adapter, step, look, isStopped: () => stopped !== null, count: adapter.parameters.reduce((sum, p) => sum + p.values.length, 0) };
}
