// The singular values and directions of a product of two thin matrices, without ever building it.
import { add, dot, identity, product, transposed, zeros } from "./matrix.js";

const [SWEEPS, SMALL] = [40, 1e-15];

// F = triangle · basis with orthonormal rows in basis (Gram-Schmidt, twice each); a dependent row leaves a row of zeros.
function orthonormal(f) {
  const { rows, columns } = f;
  const [basis, triangle] = [{ ...f, values: f.values.slice() }, zeros(rows, rows)];
  const q = basis.values;
  for (let i = 0; i < rows; i++) {
    const size = Math.sqrt(dot(q, i * columns, q, i * columns, columns));
    for (let pass = 0; pass < 2; pass++)
      for (let j = 0; j < i; j++) {
        const share = dot(q, i * columns, q, j * columns, columns);
        triangle.values[i * rows + j] += share;
        add(-share, q, j * columns, q, i * columns, columns);
      }
    const rest = Math.sqrt(dot(q, i * columns, q, i * columns, columns));
    const isDependent = !(rest > 1e-14 * size);
    triangle.values[i * rows + i] = isDependent ? 0 : rest;
    for (let k = i * columns; k < (i + 1) * columns; k++) q[k] = isDependent ? 0 : q[k] / rest;
  }
  return { basis, triangle };
}

// One-sided Jacobi (Hestenes): rotates the rows of `rows` until they are orthogonal, and `turned` with them.
function orthogonalise(rows, turned) {
  const n = rows.rows;
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    let isDone = true;
    for (let i = 0; i < n - 1; i++) for (let j = i + 1; j < n; j++) isDone = !rotate(rows, turned, i, j) && isDone;
    if (isDone) return;
  }
}

function rotate(rows, turned, i, j) {
  const [g, n] = [rows.values, rows.columns];
  const [a, b, c] = [dot(g, i * n, g, i * n, n), dot(g, j * n, g, j * n, n), dot(g, i * n, g, j * n, n)];
  if (!(Math.abs(c) > SMALL * Math.sqrt(a * b)) || !(a * b > 0)) return false;
  const zeta = (b - a) / (2 * c);
  const tangent = (zeta < 0 ? -1 : 1) / (Math.abs(zeta) + Math.sqrt(1 + zeta * zeta));
  const cosine = 1 / Math.sqrt(1 + tangent * tangent);
  turn(rows, i, j, cosine, cosine * tangent);
  turn(turned, i, j, cosine, cosine * tangent);
  return true;
}

function turn({ values, columns }, i, j, cosine, sine) {
  for (let k = 0; k < columns; k++) {
    const [x, y] = [values[i * columns + k], values[j * columns + k]];
    values[i * columns + k] = cosine * x - sine * y;
    values[j * columns + k] = sine * x + cosine * y;
  }
}

// The thin SVD of leftᵀ right, left r × d_out and right r × d_in: σ largest first, u (r × d_out) and v (r × d_in) by rows.
// With left = L₁Q₁ and right = L₂Q₂ it is that of the r × r core L₁ᵀL₂.
export function svd({ left, right }) {
  const [out, into] = [orthonormal(left), orthonormal(right)];
  const core = product(transposed(out.triangle), into.triangle);
  const [columns, turned] = [transposed(core), identity(core.rows)];
  orthogonalise(columns, turned); // rows of `columns` are σ·u, those of `turned` v
  const n = core.rows;
  const sizes = Array.from({ length: n }, (_, i) => Math.sqrt(dot(columns.values, i * n, columns.values, i * n, n)));
  const order = sizes.map((_, i) => i).sort((i, j) => sizes[j] - sizes[i]);
  const [u, v] = [zeros(n, n), zeros(n, n)];
  for (const [place, i] of order.entries()) {
    if (sizes[i] > 0) add(1 / sizes[i], columns.values, i * n, u.values, place * n, n);
    add(1, turned.values, i * n, v.values, place * n, n);
  }
  return { sigma: order.map((i) => sizes[i]), u: product(u, out.basis), v: product(v, into.basis) };
}

// exp(−Σ p ln p), p = σ/Σσ (Roy & Vetterli 2007); NaN where all are 0.
export function effectiveRank(sigma) {
  const sum = sigma.reduce((total, value) => total + value, 0);
  if (!(sum > 0)) return NaN;
  return Math.exp(-sigma.reduce((total, value) => total + (value > 0 ? (value / sum) * Math.log(value / sum) : 0), 0));
}
