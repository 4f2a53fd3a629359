// Adam (Kingma & Ba, arXiv:1412.6980) as torch computes it; without weight decay AdamW is the same.
const [BETA1, BETA2, EPSILON] = [0.9, 0.999, 1e-8];

export function adam(parameters, rate) {
  const first = parameters.map((p) => new Float64Array(p.values.length));
  const second = parameters.map((p) => new Float64Array(p.values.length));
  let steps = 0;

  function update(values, gradient, m, v, size, correction) {
    for (let i = 0; i < values.length; i++) {
      m[i] += (1 - BETA1) * (gradient[i] - m[i]);
      v[i] = BETA2 * v[i] + (1 - BETA2) * gradient[i] * gradient[i];
      values[i] -= (size * m[i]) / (Math.sqrt(v[i]) / correction + EPSILON);
    }
  }

  return function step(gradients) {
    steps += 1;
    const [size, correction] = [rate / (1 - BETA1 ** steps), Math.sqrt(1 - BETA2 ** steps)];
    for (const [i, parameter] of parameters.entries())
      update(parameter.values, gradients[i].values, first[i], second[i], size, correction);
  };
}
