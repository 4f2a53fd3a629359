// Everything that is drawn of a state {task, frame, history, chosen}.
import { makePalette, drawMaps, fitMaps } from "./maps.js";
import { drawCurves } from "./curves.js";
import { LOOKS } from "./looks.js";
import { drawNumbers } from "./numbers_table.js";
import { readColours } from "./canvas.js";
import { directionOf, drawSpectrum, sayDirection } from "./spectrum_chart.js";
import { byId, short, stoppedWords } from "./words.js";

const PATIENCE = 500; // milliseconds between two tables
let tableAt = 0;

export function showTheme(theme) {
  document.documentElement.dataset.theme = theme;
  byId("theme").textContent = theme === "dark" ? "Light" : "Dark";
  readColours();
  makePalette();
}

function write(id, text) {
  const place = byId(id);
  if (place.textContent !== text) place.textContent = text;
}

function drawScores({ task, frame }) {
  write("truth-effective", short(task.effectiveRank));
  write("steps", frame.step.toLocaleString("en"));
  for (const arm of Object.keys(LOOKS)) {
    const { error, effectiveRank, count, stopped, spectrum } = frame.arms[arm];
    write(`${arm}-error`, short(error));
    write(`${arm}-effective`, `${short(effectiveRank)} / ${spectrum.sigma.length}`);
    write(`${arm}-count`, count.toLocaleString("en"));
    write(`${arm}-stopped`, stopped ? stoppedWords(stopped) : "");
    byId(`${arm}-stopped`).hidden = !stopped;
  }
}

export function draw(state) {
  drawScores(state);
  drawMaps(state, directionOf(state, state.chosen));
  drawSpectrum(state, state.chosen);
  sayDirection(state, state.chosen);
  drawCurves(state.history);
  const now = performance.now();
  if (byId("numbers").open && (!state.isPlaying || now - tableAt > PATIENCE)) {
    drawNumbers(state);
    tableAt = now;
  }
}

// After another task or another width: every map's place.
export function fit(state) {
  fitMaps(state);
  const out = state.frame.arms.neat.hidden.side === "out";
  write("neat-hidden-title", out ? "Hᵀ (over inputs)" : "Hᵀ");
}
