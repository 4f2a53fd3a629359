// Matrices in double precision, row by row in one flat array.

export const zeros = (rows, columns) => ({ rows, columns, values: new Float64Array(rows * columns) });

export function identity(size) {
  const matrix = zeros(size, size);
  for (let i = 0; i < size; i++) matrix.values[i * size + i] = 1;
  return matrix;
}

export function filled(rows, columns, draw) {
  const matrix = zeros(rows, columns);
  for (let i = 0; i < matrix.values.length; i++) matrix.values[i] = draw();
  return matrix;
}

export const mapped = (a, f) => ({ ...a, values: a.values.map(f) });

export function transposed(a) {
  const out = zeros(a.columns, a.rows);
  for (let i = 0; i < a.rows; i++) for (let j = 0; j < a.columns; j++) out.values[j * a.rows + i] = a.values[i * a.columns + j];
  return out;
}

export function dot(a, i, b, j, length) {
  let sum = 0;
  for (let k = 0; k < length; k++) sum += a[i + k] * b[j + k];
  return sum;
}

// b[j + k] += factor·a[i + k] for k < length.
export function add(factor, a, i, b, j, length) {
  for (let k = 0; k < length; k++) b[j + k] += factor * a[i + k];
}

// a b: (m × k)(k × n); four rows of b at once, so that each entry of the result is read and written a fourth as often.
export function product(a, b) {
  const [inner, n, out] = [a.columns, b.columns, zeros(a.rows, b.columns)];
  for (let i = 0; i < a.rows; i++) {
    let k = 0;
    for (; k + 3 < inner; k += 4) addFour(a.values, i * inner + k, b.values, k * n, out.values, i * n, n);
    for (; k < inner; k++) add(a.values[i * inner + k], b.values, k * n, out.values, i * n, n);
  }
  return out;
}

function addFour(a, at, b, from, out, to, n) {
  const a0 = a[at];
  const a1 = a[at + 1];
  const a2 = a[at + 2];
  const a3 = a[at + 3];
  for (let j = 0; j < n; j++) out[to + j] += a0 * b[from + j] + a1 * b[from + n + j] + (a2 * b[from + 2 * n + j] + a3 * b[from + 3 * n + j]);
}

// a bᵀ: (m × k)(n × k)ᵀ; four rows of b at once, so that a is read a fourth as often and no sum waits for itself.
export function productWithTransposed(a, b) {
  const [inner, n, out] = [a.columns, b.rows, zeros(a.rows, b.rows)];
  for (let i = 0; i < a.rows; i++) {
    let j = 0;
    for (; j + 3 < n; j += 4) dotFour(a.values, i * inner, b.values, j * inner, inner, out.values, i * n + j);
    for (; j < n; j++) out.values[i * n + j] = dot(a.values, i * inner, b.values, j * inner, inner);
  }
  return out;
}

function dotFour(a, i, b, j, inner, out, at) {
  let s0 = 0;
  let s1 = 0;
  let s2 = 0;
  let s3 = 0;
  for (let k = 0; k < inner; k++) {
    const x = a[i + k];
    s0 += x * b[j + k];
    s1 += x * b[j + inner + k];
    s2 += x * b[j + 2 * inner + k];
    s3 += x * b[j + 3 * inner + k];
  }
  out[at] = s0;
  out[at + 1] = s1;
  out[at + 2] = s2;
  out[at + 3] = s3;
}

// Some rows of a matrix.
export function rowsOf(a, rows) {
  const out = zeros(rows.length, a.columns);
  for (const [i, row] of rows.entries()) out.values.set(a.values.subarray(row * a.columns, (row + 1) * a.columns), i * a.columns);
  return out;
}

export const norm = (a) => Math.sqrt(dot(a.values, 0, a.values, 0, a.values.length));

// ‖a − b‖_F
export function distance(a, b) {
  let sum = 0;
  for (let i = 0; i < a.values.length; i++) sum += (a.values[i] - b.values[i]) ** 2;
  return Math.sqrt(sum);
}

export function multiplyBy(a, factor) {
  for (let i = 0; i < a.values.length; i++) a.values[i] *= factor;
  return a;
}
