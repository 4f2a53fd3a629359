// Numbers for the pictures: a layer and two adapters drawn at random. A place of a matrix always has the same number, so that
// what was there stays while a matrix grows. Of a large layer as many cells are drawn as can be seen.
const randomLayer = (() => {
  const CELLS = 96;
  const [WEIGHT, LEFT, RIGHT, FIRST, INNER] = [1, 2, 3, 4, 5]; // the matrices' seeds; inner ones count on

  // Between −1 and 1, as a hash of the place.
  function numberAt(seed, i, j) {
    let hash = Math.imul(seed, 0x9e3779b1) ^ Math.imul(i + 1, 0x85ebca77) ^ Math.imul(j + 1, 0xc2b2ae3d);
    for (const factor of [0x2c1b3c6d, 0x297a2d39]) hash = Math.imul(hash ^ (hash >>> 15), factor);
    return ((hash ^ (hash >>> 15)) >>> 0) / 2 ** 31 - 1;
  }

  function made(rows, columns, value) {
    const values = new Float64Array(rows * columns);
    for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) values[i * columns + j] = value(i, j);
    return { rows, columns, values };
  }
  const drawn = (seed, rows, columns) => made(rows, columns, (i, j) => numberAt(seed, i, j));
  const transposed = (one) => made(one.columns, one.rows, (i, j) => one.values[j * one.columns + i]);
  const mapped = (one, value) => ({ ...one, values: one.values.map(value) });

  // σ from its curve: straight lines between the points, and on from the last two.
  function through({ from, step, values }) {
    return (x) => {
      const at = Math.min(values.length - 2, Math.max(0, Math.floor((x - from) / step)));
      return values[at] + ((x - from) / step - at) * (values[at + 1] - values[at]);
    };
  }

  // The next layer's input, about as large as numbers that have a variance of 1.
  const onward = (theta, input) => mapped(weightsMatrices.product(theta, input), (x) => (3 * x) / Math.sqrt(theta.columns));

  function product(arm, weight) {
    const rank = Math.min(arm.rank, CELLS);
    return { left: drawn(LEFT, weight.rows, rank), right: drawn(RIGHT, rank, weight.columns) };
  }

  function network(arm, weight, sigma) {
    const [over, rank] = [arm.kind === "out", Math.min(arm.rank, CELLS)];
    const input = over ? weight : transposed(weight);
    const maps = { first: drawn(FIRST, rank, input.rows) };
    maps.before = onward(maps.first, input);
    let hidden = mapped(maps.before, sigma);
    for (let k = 0; k < arm.depth - 2; k++) {
      maps[`inner${k}`] = drawn(INNER + k, rank, rank);
      hidden = mapped(onward(maps[`inner${k}`], hidden), sigma);
    }
    const last = over ? { left: drawn(LEFT, weight.rows, rank), right: hidden } : { left: transposed(hidden), right: drawn(RIGHT, rank, weight.columns) };
    return { ...maps, ...last };
  }

  // Of a matrix: pivots of Gaussian elimination, each row by its largest entry.
  function rankOf({ rows, columns, values }) {
    const left = [...Array(rows).keys()].map((i) => values.slice(i * columns, (i + 1) * columns));
    const limit = 1e-9 * weightsMatrices.largest([{ values }]);
    let rank = 0;
    for (let column = 0; column < columns && rank < rows; column++) {
      const pivot = left.slice(rank).reduce((best, row, i) => (Math.abs(row[column]) > Math.abs(left[best][column]) ? rank + i : best), rank);
      if (Math.abs(left[pivot][column]) <= limit) continue;
      [left[rank], left[pivot]] = [left[pivot], left[rank]];
      for (const row of left.slice(rank + 1)) {
        const factor = row[column] / left[rank][column];
        if (factor) for (let j = column; j < columns; j++) row[j] -= factor * left[rank][j];
      }
      rank += 1;
    }
    return rank;
  }

  // The rank that these numbers have, and the hidden units of which nothing comes through; "" where not all units are drawn.
  function measured({ left, right, delta }, { rank }) {
    if (rank > CELLS) return "";
    const isZero = (k) => right.values.subarray(k * right.columns, (k + 1) * right.columns).every((x) => !x) || left.values.every((x, i) => i % rank !== k || !x);
    const dead = [...Array(rank).keys()].filter(isZero).length;
    return `rank of ΔW: ${rankOf(delta)}${dead ? `, ${dead} of ${rank} units dead` : ""}`;
  }

  // What a sketch shows: every matrix of its arms, W₀, and how large the largest number of any ΔW is.
  return (shape, arms, curve) => {
    const cells = shape.map((size) => Math.min(size, CELLS));
    const weight = drawn(WEIGHT, ...cells);
    const filled = arms.map((arm) => {
      const maps = arm.kind === "product" ? product(arm, weight) : network(arm, weight, through(curve));
      maps.delta = weightsMatrices.product(maps.left, maps.right);
      return { ...arm, maps, measured: measured(maps, arm) };
    });
    return { cells, base: { weight }, arms: filled, scale: weightsMatrices.largest(filled.map((arm) => arm.maps.delta)) };
  };
})();
