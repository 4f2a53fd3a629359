// PRESETS: settings that show something. CARDS: questions that a training answers.
import { DEFAULTS } from "./settings.js";

export const PRESETS = {
  "neats-home": { title: "NEAT’s home", settings: {} },
  "loras-home": { title: "LoRA’s home", settings: { kind: "low-rank", truth: 4 } },
  "learning-rate": { title: "The learning rate decides", settings: { "neat.rate": 0.0005 } },
  depth: { title: "Depth", settings: { "neat.depth": 6, "neat.rank": 6 } },
};

export const presetSettings = (name) => ({ ...DEFAULTS, ...PRESETS[name].settings });

const ALIKE = 0.1; // errors within a tenth of the larger one
const WHO = ["LoRA", "NEAT", "both alike"];

// Who is nearer to ΔW*, by the errors of a frame.
export function nearer({ lora, neat }) {
  if (lora.stopped || neat.stopped) return lora.stopped ? "NEAT" : "LoRA";
  if (Math.abs(lora.error - neat.error) <= ALIKE * Math.max(lora.error, neat.error)) return "both alike";
  return lora.error < neat.error ? "LoRA" : "NEAT";
}

// How many singular values stand out from rounding.
const rankOf = ({ spectrum: { sigma } }) => sigma.filter((value) => value > 1e-6 * sigma[0]).length;

export const CARDS = [
  {
    preset: "neats-home",
    question: "As many parameters each, and ΔW* is a small network of W₀. Who comes nearer to it in 400 steps?",
    choices: WHO,
    steps: 400,
    right: nearer,
    why: "On a wide layer the same parameters buy NEAT twice LoRA’s rank, and it looks at W₀.",
  },
  {
    preset: "loras-home",
    question: "The same layer and parameters, but ΔW* is a product of two thin matrices and owes nothing to W₀. Who now?",
    choices: WHO,
    steps: 400,
    right: nearer,
    why: "That is LoRA’s own form, and W₀ tells NEAT nothing of it.",
  },
  {
    preset: "learning-rate",
    question: "NEAT’s home again, but NEAT learns at a sixtieth of LoRA’s rate. Who is nearer after 400 steps?",
    choices: WHO,
    steps: 400,
    right: nearer,
    why: "Nothing else has changed: a comparison at one rate for each is a comparison of rates. Move NEAT’s to 0.03.",
  },
  {
    preset: "depth",
    question: "NEAT with r = 6 and six maps. How many singular values of its ΔW are above zero after 200 steps?",
    choices: ["6", "36", "all 32"],
    steps: 200,
    right: ({ neat }) => String(rankOf(neat)),
    why: "Only the last map leaves the r hidden units: the rank of ΔW is r at most, at any depth.",
  },
];
