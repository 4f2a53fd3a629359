// One arm's training, and what is seen of it.
import { adam } from "./adam.js";
import { lora, neat } from "./adapters.js";
import { distance, dot, multiplyBy, norm, product, productWithTransposed, transposed } from "./matrix.js";
import { effectiveRank, svd } from "./spectrum.js";

export const METHODS = { lora, neat };
const MAX_LOSS_RATIO = 1e4; // to the first step's loss, or to 1 where that was smaller; above it an arm has diverged

// Mean squared error of x ΔWᵀ against the change over a batch, and its gradients for both factors.
export function lossAndGradients({ left, right }, { x, change }) {
  const thin = productWithTransposed(x, right); // n × r
  const error = product(thin, left); // n × d_out
  for (let i = 0; i < error.values.length; i++) error.values[i] -= change.values[i];
  const loss = dot(error.values, 0, error.values, 0, error.values.length) / error.values.length;
  multiplyBy(error, 2 / error.values.length); // the loss's gradient for x ΔWᵀ
  const back = productWithTransposed(error, left); // n × r
  return { loss, left: product(transposed(thin), error), right: product(transposed(back), x) };
}

export function makeArm(method, options, weight, uniform) {
  const adapter = METHODS[method](options, weight, uniform);
  const update = adam(adapter.parameters, options.rate);
  let [firstLoss, stopped, losses] = [null, null, []];

  // Stops before a step that would ruin the weights, as the lab's loop.
  function step(batch, number) {
    if (stopped) return;
    const { loss, left, right } = lossAndGradients(adapter.factors(), batch);
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
