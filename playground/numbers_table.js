// The pictures as a table.
import { LOOKS } from "./looks.js";
import { spectrumOf } from "./spectrum_chart.js";
import { byId, node, short, title } from "./words.js";

const ROWS = { "recovered error": "error", "training loss": "loss", "‖ΔW‖": "norm", "effective rank": "effectiveRank", parameters: "count" };
const SHOWN = 8; // singular values

const rowOf = (name, cells) => {
  const row = node("tr");
  row.append(node("th", name, { scope: "row" }), ...cells.map((text) => node("td", text)));
  return row;
};

export function drawNumbers(state) {
  const arms = Object.keys(LOOKS);
  const head = node("tr");
  head.append(node("th", `step ${state.frame.step}`, { scope: "col" }), ...[...arms, "truth"].map((name) => node("th", title(name), { scope: "col" })));
  const rows = Object.entries(ROWS).map(([name, key]) => rowOf(name, [...arms.map((arm) => short(state.frame.arms[arm][key])), short(state.task[key] ?? null)]));
  const sigma = (series, i) => spectrumOf(state, series).sigma[i];
  const values = Array.from({ length: SHOWN }, (_, i) => rowOf(`σ${i + 1}`, [...arms, "truth"].map((series) => short(sigma(series, i) ?? null))));
  byId("numbers").querySelector("thead").replaceChildren(head);
  byId("numbers").querySelector("tbody").replaceChildren(...rows, ...values);
}
