// SETTINGS: what one may set. The form, the link and its bounds are made of this table.

const choice = (label, options, value) => ({
  type: "choice",
  label,
  options,
  value,
  read: (text) => (Object.hasOwn(options, text) ? text : undefined),
  allowed: Object.keys(options).join(", "),
  shown: (given) => options[given],
});

const number = (type, label, [min, max], value, further = {}) => ({
  type,
  label,
  min,
  max,
  value,
  read(text) {
    const given = /^\d{1,7}(\.\d{1,7})?(e-\d)?$/.test(text) ? Number(text) : NaN;
    const isWhole = type === "real" || further.rate || Number.isInteger(given);
    return given >= min && given <= max && isWhole ? given : undefined;
  },
  allowed: `${min} to ${max}`,
  shown: (given) => given.toLocaleString("en"),
  ...further,
});

const whole = (label, bounds, value) => number("whole", label, bounds, value);
const rate = (value) =>
  number("log", "learning rate", [0.0001, 1], value, { rate: true, shown: (given) => String(Number(given.toPrecision(2))) });

const GROUPS = {
  task: {
    kind: choice("ΔW* is", { "weight-aware": "a network of W₀", "low-rank": "of low rank", "full-rank": "of full rank" }, "weight-aware"),
    shape: choice("layer", { "96x32": "96 → 32", "256x64": "256 → 64", "64x64": "64 → 64", "32x96": "32 → 96" }, "96x32"),
    truth: whole("rank of ΔW*", [1, 16], 8),
    examples: number("log", "examples", [16, 4000], 2000),
    noise: number("real", "noise", [0, 2], 0.1, { step: 0.05 }),
    seed: whole("seed", [0, 99], 0),
  },
  lora: { "lora.rank": whole("rank", [1, 32], 4), "lora.rate": rate(0.03) },
  neat: {
    "neat.rank": whole("rank", [1, 32], 8),
    "neat.depth": whole("depth", [2, 6], 2),
    "neat.activation": choice("activation", { relu: "ReLU", gelu: "GELU", tanh: "tanh", sin: "sin", linear: "linear" }, "relu"),
    "neat.rate": rate(0.03),
  },
  more: {
    "neat.residual": choice("skips", { paired: "paired (even depth)", none: "none" }, "paired"),
    "neat.orientation": choice("f maps over", { auto: "the shorter side", out: "outputs", in: "inputs" }, "auto"),
    "neat.scaling": number("real", "scaling s", [0.1, 10], 1, { step: 0.1 }),
  },
  page: {
    speed: choice("steps a second", { 2: "2 / s", 20: "20 / s", 60: "60 / s", max: "fastest" }, "60"),
    theme: choice("theme", { auto: "auto", light: "light", dark: "dark" }, "auto"),
    tour: whole("stop of the tour", [1, 7], 0), // 0: none
    embed: choice("part in a frame", { none: "the whole page", train: "the training", weights: "the weights", spectrum: "the spectrum", learning: "the curves" }, "none"),
  },
};

export const groupOf = (name) => GROUPS[name];
export const SETTINGS = Object.assign({}, ...Object.values(GROUPS));
export const DEFAULTS = Object.fromEntries(Object.entries(SETTINGS).map(([name, { value }]) => [name, value]));
const PAGE = Object.keys(GROUPS.page);
const [LONGEST_LINK, LONGEST_QUOTE] = [2000, 24]; // characters

// What a link says: the settings in it over the defaults, and a sentence for each that is not one.
export function readHash(hash) {
  const [settings, problems] = [{ ...DEFAULTS }, []];
  const quoted = (text) => JSON.stringify(text.slice(0, LONGEST_QUOTE));
  for (const [name, text] of new URLSearchParams(hash.slice(1, LONGEST_LINK))) {
    const setting = Object.hasOwn(SETTINGS, name) ? SETTINGS[name] : null;
    const value = setting?.read(text);
    if (value !== undefined) settings[name] = value;
    else if (setting) problems.push(`${name}=${quoted(text)} is not allowed (${setting.allowed}); ${settings[name]} is taken.`);
    else problems.push(`There is no setting ${quoted(name)}.`);
  }
  return { settings, problems };
}

// The link's end for these settings: those that differ from the defaults.
export function hashOf(settings) {
  const differing = Object.entries(settings).filter(([name, value]) => value !== DEFAULTS[name]);
  return differing.length ? `#${new URLSearchParams(differing)}` : "";
}

// What belongs to the page and to nobody's preset.
export const pageOf = (settings) => Object.fromEntries(PAGE.map((name) => [name, settings[name]]));

// Is the training another one?
export const trainsAlike = (a, b) => Object.keys(SETTINGS).every((name) => PAGE.includes(name) || a[name] === b[name]);

const inGroup = (settings, prefix) =>
  Object.fromEntries(Object.entries(settings).filter(([name]) => name.startsWith(prefix)).map(([name, value]) => [name.slice(prefix.length), value]));

// Settings as the worker takes them.
export function trainingOf(settings) {
  const [dIn, dOut] = settings.shape.split("x").map(Number);
  const { kind, truth, noise, examples, seed } = settings;
  return { task: { kind, dIn, dOut, truth, noise, examples, seed }, arms: { lora: inGroup(settings, "lora."), neat: inGroup(settings, "neat.") } };
}

// r·(d_in + d_out), and 2·r·n + (L−2)·r² with n the mapped side.
export const loraCount = ({ rank }, { dIn, dOut }) => rank * (dIn + dOut);
export function neatCount({ rank, depth, orientation }, { dIn, dOut }) {
  const side = { auto: Math.min(dIn, dOut), out: dOut, in: dIn }[orientation];
  return 2 * rank * side + (depth - 2) * rank ** 2;
}

// NEAT's rank whose parameters come nearest to LoRA's.
export function matchedRank(settings) {
  const { task, arms } = trainingOf(settings);
  const { min, max } = SETTINGS["neat.rank"];
  const away = (rank) => Math.abs(neatCount({ ...arms.neat, rank }, task) - loraCount(arms.lora, task));
  return Array.from({ length: max - min + 1 }, (_, i) => min + i).reduce((best, rank) => (away(rank) < away(best) ? rank : best));
}
