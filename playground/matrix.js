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

// The sum of a[i + k]·b[j + k] for k < length; four sums at once, for one alone waits for itself.
export function dot(a, i, b, j, length) {
  let [s0, s1, s2, s3, k] = [0, 0, 0, 0, 0];
  for (; k + 3 < length; k += 4) {
    s0 += a[i + k] * b[j + k];
    s1 += a[i + k + 1] * b[j + k + 1];
    s2 += a[i + k + 2] * b[j + k + 2];
    s3 += a[i + k + 3] * b[j + k + 3];
  }
  for (; k < length; k++) s0 += a[i + k] * b[j + k];
  return s0 + s1 + s2 + s3;
}

// b[j + k] += factor·a[i + k] for k < length.
export function add(factor, a, i, b, j, length) {
  for (let k = 0; k < length; k++) b[j + k] += factor * a[i + k];
}

// a b: (m × k)(k × n)
export function product(a, b) {
  const out = zeros(a.rows, b.columns);
  for (let i = 0; i < a.rows; i++)
    for (let k = 0; k < a.columns; k++) add(a.values[i * a.columns + k], b.values, k * b.columns, out.values, i * b.columns, b.columns);
  return out;
}

// a bᵀ: (m × k)(n × k)ᵀ
export function productWithTransposed(a, b) {
  const out = zeros(a.rows, b.rows);
  for (let i = 0; i < a.rows; i++)
    for (let j = 0; j < b.rows; j++) out.values[i * b.rows + j] = dot(a.values, i * a.columns, b.values, j * b.columns, a.columns);
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
