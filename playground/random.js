// Random numbers from a seed: the same on every machine.

// sfc32 (Chris Doty-Humphrey, PractRand): uniform in [0, 1). Each stream of a seed has numbers of its own.
export function randomStream(seed, stream) {
  let [a, b, c, counter] = [seed | 0, Math.imul(stream, 0x9e3779b9), 0x243f6a88, 1];
  const next = () => {
    const sum = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (c << 21) | (c >>> 11);
    c = (c + sum) | 0;
    return (sum >>> 0) / 4294967296;
  };
  for (let i = 0; i < 16; i++) next();
  return next;
}

// Standard normal numbers by the polar method (Marsaglia).
export function normals(uniform) {
  let spare = null;
  return () => {
    if (spare !== null) {
      const value = spare;
      spare = null;
      return value;
    }
    let [u, v, s] = [0, 0, 0];
    do {
      [u, v] = [2 * uniform() - 1, 2 * uniform() - 1];
      s = u * u + v * v;
    } while (s >= 1 || s === 0);
    const factor = Math.sqrt((-2 * Math.log(s)) / s);
    spare = v * factor;
    return u * factor;
  };
}

// Rows of shuffled batches, epoch after epoch; the last short one is dropped unless it is alone.
export function shuffledBatches(count, batchSize, uniform) {
  const size = Math.min(batchSize, count);
  const order = Int32Array.from({ length: count }, (_, i) => i);
  let start = count;
  return () => {
    if (start + size > count) {
      for (let i = count - 1; i > 0; i--) {
        const j = Math.floor(uniform() * (i + 1));
        [order[i], order[j]] = [order[j], order[i]];
      }
      start = 0;
    }
    start += size;
    return order.subarray(start - size, start);
  };
}
