// The page by keyboard, and the list of its keys.
import { byId, node } from "./words.js";

const KEYS = {
  " ": ["Space", "play, pause", "play"],
  ArrowRight: ["→", "one step", "step"],
  r: ["r", "reset", "reset"],
  t: ["t", "light or dark", "theme"],
  c: ["c", "copy link", "copy"],
  "?": ["?", "these keys", "show-keys"],
};
const FURTHER = { "← → ↑ ↓": "in the spectrum: another direction, another matrix’s; Esc for none" };

// Not what is typed, nor the keys that the control in focus takes itself.
const takesIt = ({ key, target }) =>
  target.closest("input, select, textarea") || ((key.length > 1 || key === " ") && target.closest("a, button, summary, [tabindex]"));

function keyRow([name, meaning]) {
  const row = node("tr");
  const cell = node("th", "", { scope: "row" });
  cell.append(node("kbd", name));
  row.append(cell, node("td", meaning));
  return row;
}

export function listenToKeys() {
  byId("keys").querySelector("tbody").append(...[...Object.values(KEYS), ...Object.entries(FURTHER)].map(keyRow));
  byId("show-keys").addEventListener("click", () => byId("keys").showModal());
  document.addEventListener("keydown", (event) => {
    if (!Object.hasOwn(KEYS, event.key) || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    if (document.querySelector("dialog:modal") || takesIt(event)) return;
    event.preventDefault();
    byId(KEYS[event.key][2]).click();
  });
}
