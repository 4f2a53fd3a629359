// The weights as heat maps to one scale, and a singular direction that lights up in all of them.
import { colour, rgb } from "./canvas.js";
import { byId, short } from "./words.js";

const [LIMIT, DARKEST, LEVELS] = [2.5, 0.1, 255]; // root mean squares at full colour; what is left of a cell that is not lit
const [HIGHEST, HIGHEST_IN_A_FRAME, EVEN] = [230, 150, 0.75]; // CSS pixels of a tall map; share of the room that even pixels must fill

let palette = null; // −LEVELS … LEVELS → a pixel; zero is nearly the card's own colour

export function makePalette() {
  const [zero, positive, negative] = ["ground", "positive", "negative"].map((name) => rgb(colour(name)));
  const bytes = new Uint8ClampedArray((2 * LEVELS + 1) * 4).fill(255);
  for (let level = -LEVELS; level <= LEVELS; level++) {
    const [end, share] = [level < 0 ? negative : positive, Math.abs(level) / LEVELS];
    for (let c = 0; c < 3; c++) bytes[(level + LEVELS) * 4 + c] = zero[c] + (end[c] - zero[c]) * share;
  }
  palette = new Uint32Array(bytes.buffer);
}

const sizes = new WeakMap(); // matrix → root mean square of its entries

function rootMeanSquare(matrix) {
  if (!sizes.has(matrix)) sizes.set(matrix, Math.sqrt(matrix.values.reduce((sum, x) => sum + x * x, 0) / matrix.values.length));
  return sizes.get(matrix);
}

const painted = new Map(); // canvas → what it shows: {matrix, palette, image}

// One entry a pixel; CSS makes it larger.
function paint(canvas, matrix, limit, light) {
  const before = painted.get(canvas);
  if (!light && before?.matrix === matrix && before.palette === palette) return; // W₀ and ΔW* do not move
  const { rows, columns, values } = matrix;
  if (canvas.width !== columns || canvas.height !== rows) Object.assign(canvas, { width: columns, height: rows });
  const context = canvas.getContext("2d");
  const isAsLarge = before?.image.width === columns && before.image.height === rows;
  const image = isAsLarge ? before.image : context.createImageData(columns, rows);
  painted.set(canvas, { matrix: light ? null : matrix, palette, image });
  const pixels = new Uint32Array(image.data.buffer);
  const factor = LEVELS / (limit || 1);
  for (let i = 0, at = 0; i < rows; i++) {
    const lit = light ? (1 - DARKEST) * light.rows[i] : 0;
    for (let j = 0; j < columns; j++, at++) {
      const share = light ? DARKEST + lit * light.columns[j] : 1;
      const level = Math.max(-LEVELS, Math.min(LEVELS, Math.round(values[at] * factor * share))) || 0; // NaN is 0
      pixels[at] = palette[level + LEVELS];
    }
  }
  context.putImageData(image, 0, 0);
}

const row = ({ columns, values }, i) => values.subarray(i * columns, (i + 1) * columns);

function shares(vector) {
  const sizes = Float64Array.from(vector, Math.abs);
  const largest = sizes.reduce((top, x) => Math.max(top, x), 0) || 1;
  return sizes.map((x) => Math.sqrt(x / largest)); // the root, so that more than the largest entry is seen
}

// M v: one number a row.
const times = (matrix, v) => Float64Array.from({ length: matrix.rows }, (_, i) => row(matrix, i).reduce((sum, x, j) => sum + x * v[j], 0));

// The maps of a frame: name → matrix, its limit, and the side of W₀ that its columns belong to.
function mapsOf({ task, frame }) {
  const limit = LIMIT * rootMeanSquare(task.weight); // ‖ΔW*‖ is ‖W₀‖: one scale of colours for all of their shape
  const whole = (matrix) => ({ matrix, limit });
  const thin = ({ matrix, side }) => ({ matrix, side, limit: LIMIT * rootMeanSquare(matrix) });
  const { lora, neat } = frame.arms;
  return {
    weight: whole(task.weight),
    truth: whole(task.delta),
    "lora-delta": whole(lora.delta),
    "neat-delta": whole(neat.delta),
    "lora-hidden": thin(lora.hidden),
    "neat-hidden": thin(neat.hidden),
  };
}

// What of a map lies in the direction u vᵀ: the light on its rows and columns, and uᵀMv where it has both sides.
function lightOn({ matrix, side }, { u, v }) {
  if (!side) return { rows: shares(u), columns: shares(v), part: times(matrix, v).reduce((sum, x, i) => sum + x * u[i], 0) };
  const along = side === "in" ? v : u;
  return { rows: shares(times(matrix, along)), columns: shares(along) };
}

export function drawMaps(state, direction) {
  for (const [name, map] of Object.entries(mapsOf(state))) {
    const light = direction && lightOn(map, direction);
    paint(byId(name), map.matrix, map.limit, light);
    byId(`${name}-value`).textContent = valueOf(map, light);
  }
  byId("scale").textContent = `full colour at ±${short(LIMIT * rootMeanSquare(state.task.weight))}; A and Hᵀ each at its own`;
}

function valueOf({ matrix, side }, light) {
  if (light && !side) return `uᵀMv ${short(light.part)}`;
  return side ? `${matrix.rows} × ${matrix.columns}` : `‖·‖ ${short(rootMeanSquare(matrix) * Math.sqrt(matrix.values.length))}`;
}

// Gives every map as many CSS pixels an entry as fit, the same to all.
export function fitMaps({ task, frame }) {
  const shown = Object.entries(mapsOf({ task, frame }));
  const room = byId("weight").closest("figure").clientWidth;
  const [widest, highest] = [Math.max(...shown.map(([, { matrix }]) => matrix.columns)), task.weight.rows];
  const raw = Math.min(room / widest, (document.documentElement.dataset.embed ? HIGHEST_IN_A_FRAME : HIGHEST) / highest);
  const pixels = Math.floor(raw * (window.devicePixelRatio || 1)); // a whole number of the screen's, where that wastes little
  const even = pixels / (window.devicePixelRatio || 1);
  const scale = even > EVEN * raw ? even : raw;
  for (const [name, { matrix }] of shown) {
    const { style } = byId(name);
    style.width = `${matrix.columns * scale}px`;
    style.height = `${matrix.rows * scale}px`;
  }
}
