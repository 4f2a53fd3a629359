// The spectra of ΔW and ΔW*, and the direction that is pointed at in them.
import { cleared, colour, drawAxes, drawMarker, line, roundTicks } from "./canvas.js";
import { LOOKS } from "./looks.js";
import { byId, short, title } from "./words.js";

const SERIES = [...Object.keys(LOOKS), "truth"];
const ASIDE = 0.17; // of the way to the next σ: LoRA to the left, NEAT to the right, so that both are seen
const NONE = 1e-9; // a singular value that is rounding has no direction
let scale = null; // of the last drawing

export const spectrumOf = ({ task, frame }, series) => (series === "truth" ? task.spectrum : frame.arms[series].spectrum);

// {series, index} → its vectors; null where there is none.
export function directionOf(state, chosen) {
  if (!chosen) return null;
  const { sigma, u, v } = spectrumOf(state, chosen.series);
  if (!(sigma[chosen.index] > NONE)) return null;
  const row = ({ columns, values }) => values.subarray(chosen.index * columns, (chosen.index + 1) * columns);
  return { u: row(u), v: row(v), sigma: sigma[chosen.index] };
}

// Bars for ΔW*, an arm's markers on them, and the rank that it cannot pass.
export function drawSpectrum(state, chosen) {
  const area = cleared(byId("spectrum"));
  const longest = Math.max(...SERIES.map((series) => spectrumOf(state, series).sigma.length));
  const top = 1.08 * Math.max(...SERIES.map((series) => finiteTop(spectrumOf(state, series).sigma)), 1e-6);
  const x = { from: 0.5, to: longest + 0.9, ticks: indexTicks(longest) };
  const y = { from: 0, to: top, ticks: roundTicks(top, 4) };
  scale = { ...drawAxes(area, { x, y, xName: "i, the largest first", yText: (tick) => String(tick) }), state };
  drawBars(area.context, state.task.spectrum.sigma, longest);
  for (const arm of Object.keys(LOOKS)) drawArm(area.context, state.frame.arms[arm].spectrum.sigma, arm);
  if (chosen) drawChosen(area.context, spectrumOf(state, chosen.series).sigma, chosen);
}

const aside = (series) => ({ lora: -ASIDE, neat: ASIDE })[series] ?? 0;
const finiteTop = (sigma) => (Number.isFinite(sigma[0]) ? sigma[0] : 0);
const indexTicks = (longest) => Array.from({ length: longest }, (_, i) => i + 1).filter((i) => i === 1 || i % Math.ceil(longest / 16) === 0);

function drawBars(context, sigma, longest) {
  const half = Math.min(18, ((scale.toX(2) - scale.toX(1)) * 0.7) / 2);
  context.fillStyle = colour("truth");
  for (const [i, value] of sigma.entries()) context.fillRect(scale.toX(i + 1) - half, scale.toY(value), 2 * half, scale.box.bottom - scale.toY(value));
}

function drawArm(context, sigma, arm) {
  context.strokeStyle = context.fillStyle = colour(arm);
  context.lineWidth = 1.5;
  const place = (i) => [scale.toX(i + 1 + aside(arm)), scale.toY(Number.isFinite(sigma[i]) ? sigma[i] : 0)];
  context.beginPath();
  for (const i of sigma.keys()) context.lineTo(...place(i));
  context.stroke();
  const end = scale.toX(sigma.length + 0.5) + (arm === "lora" ? -1 : 1); // two ceilings at one place are both seen
  context.setLineDash([3, 3]);
  line(context, end, scale.box.top, end, scale.box.bottom);
  context.setLineDash([]);
  context.strokeStyle = colour("card");
  for (const i of sigma.keys()) drawMarker(context, LOOKS[arm].marker, ...place(i), 4.5);
}

function drawChosen(context, sigma, { series, index }) {
  context.strokeStyle = colour("text");
  context.lineWidth = 2;
  context.beginPath();
  context.arc(scale.toX(index + 1 + aside(series)), scale.toY(sigma[index] ?? 0), series === "truth" ? 6 : 9, 0, 2 * Math.PI);
  context.stroke();
}

// The singular value nearest to a place of the canvas: of all with the nearest i, the nearest mark.
export function nearestDirection({ offsetX, offsetY }) {
  if (!scale) return null;
  const step = scale.toX(2) - scale.toX(1);
  const index = Math.round((offsetX - scale.toX(1)) / step);
  const away = (series) => {
    const [x, y] = [scale.toX(index + 1 + aside(series)), scale.toY(spectrumOf(scale.state, series).sigma[index])];
    return Math.hypot(x - offsetX, y - offsetY);
  };
  const there = SERIES.filter((series) => spectrumOf(scale.state, series).sigma[index] > NONE);
  if (index < 0 || !there.length) return null;
  return { series: there.reduce((best, series) => (away(series) < away(best) ? series : best)), index };
}

// One step from a direction with the arrow keys: left and right to another σ, up and down to another matrix's.
export function movedDirection(state, chosen, key) {
  if (key === "Escape") return null;
  const { series, index } = chosen ?? { series: SERIES[0], index: -1 };
  const across = { ArrowRight: 1, ArrowLeft: -1 }[key] ?? 0;
  const down = { ArrowDown: 1, ArrowUp: -1 }[key] ?? 0;
  const next = SERIES[(SERIES.indexOf(series) + down + SERIES.length) % SERIES.length];
  return { series: next, index: Math.max(0, Math.min(index + across, spectrumOf(state, next).sigma.length - 1)) };
}

const HINT = "point at one, and its direction lights up in every map";

export function sayDirection(state, chosen) {
  const [canvas, direction] = [byId("spectrum"), directionOf(state, chosen)];
  const name = chosen && `direction ${chosen.index + 1} of ${title(chosen.series)}`;
  const text = direction ? `${name}: σ ${short(direction.sigma)}` : chosen ? `${name}: σ is 0, so it has none yet` : HINT;
  if (byId("direction").textContent !== text) byId("direction").textContent = text;
  canvas.setAttribute("aria-valuemax", String(spectrumOf(state, chosen?.series ?? "lora").sigma.length));
  canvas.setAttribute("aria-valuenow", String(chosen ? chosen.index + 1 : 0));
  canvas.setAttribute("aria-valuetext", chosen ? text : "none");
}
