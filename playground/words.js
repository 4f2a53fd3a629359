// How numbers and states are written.
import { LOOKS } from "./looks.js";

export const byId = (id) => document.getElementById(id);
export const title = (arm) => LOOKS[arm]?.title ?? "ΔW*";

// Whose form ΔW* has: who is at home has it easier.
export const HOMES = {
  "weight-aware": "NEAT’s home: ΔW* has NEAT’s own form.",
  "low-rank": "LoRA’s home: ΔW* owes nothing to W₀.",
  "full-rank": "Nobody’s home: ΔW* has more rank than either.",
};

// Three digits that do not jump as they change.
export function short(value) {
  if (value === null || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size < 0.001 || size >= 10_000)) return value.toExponential(1);
  return value.toFixed(size < 1 ? 3 : size < 10 ? 2 : size < 100 ? 1 : 0);
}

export function stoppedWords({ step, loss }) {
  const what = Number.isFinite(loss) ? `${short(loss)}` : "not a number";
  return `Diverged: the loss is ${what} at step ${step}. Lower its learning rate, or press Reset.`;
}

// A frame in one sentence, for those who do not see the pictures.
export function frameWords({ step, arms }) {
  const each = Object.entries(arms).map(([arm, { error, loss, effectiveRank, stopped }]) => {
    if (stopped) return `${title(arm)}: ${stoppedWords(stopped)}`;
    return `${title(arm)}: recovered error ${short(error)}, loss ${short(loss)}, effective rank ${short(effectiveRank)}.`;
  });
  return `Step ${step}. ${each.join(" ")}`;
}

// A node with text: never HTML.
export function node(tag, text = "", attributes = {}) {
  const made = document.createElement(tag);
  made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}
