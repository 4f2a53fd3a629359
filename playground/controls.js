// The form, made of SETTINGS.
import { SETTINGS, groupOf } from "./settings.js";
import { HOMES, byId, node } from "./words.js";

const PAGE = { speed: () => byId("speed") };
const toPosition = ({ type }, value) => (type === "log" ? Math.log10(value) : value);
const setters = {};

function fromPosition({ type, rate }, position) {
  if (type !== "log") return Number(Number(position).toFixed(4));
  const value = Number((10 ** position).toPrecision(2));
  return rate ? value : Math.round(value);
}

function options(select, setting) {
  select.append(...Object.entries(setting.options).map(([value, text]) => node("option", text, { value })));
}

function slider(setting, id) {
  const [from, to] = [setting.min, setting.max].map((value) => toPosition(setting, value));
  const step = { whole: 1, log: (to - from) / 100 }[setting.type] ?? setting.step;
  return node("input", "", { id, type: "range", min: from, max: to, step });
}

// A row of the form; onChange(name, value) is called with what someone chooses.
function makeRow(name, onChange) {
  const [setting, id] = [SETTINGS[name], `set-${name.replace(".", "-")}`];
  const control = setting.type === "choice" ? node("select", "", { id }) : slider(setting, id);
  const row = node("div", "", { class: `row ${setting.type}` });
  row.append(node("label", setting.label, { for: id }), control);
  if (setting.type === "choice") {
    options(control, setting);
    control.addEventListener("change", () => onChange(name, control.value));
    setters[name] = (value) => (control.value = value);
    return row;
  }
  const output = node("output", "", { for: id });
  row.append(output);
  control.addEventListener("input", () => onChange(name, fromPosition(setting, Number(control.value))));
  setters[name] = (value) => {
    if (fromPosition(setting, Number(control.value)) !== value) control.value = toPosition(setting, value);
    output.textContent = setting.shown(value);
    control.setAttribute("aria-valuetext", setting.shown(value));
  };
  return row;
}

export function makeControls(onChange) {
  for (const group of document.querySelectorAll("[data-group]")) {
    const rows = Object.keys(groupOf(group.dataset.group)).map((name) => makeRow(name, onChange));
    const legend = group.querySelector(":scope > legend");
    if (legend) legend.after(...rows);
    else group.append(...rows);
  }
  for (const [name, control] of Object.entries(PAGE)) {
    options(control(), SETTINGS[name]);
    control().addEventListener("change", () => onChange(name, control().value));
    setters[name] = (value) => (control().value = value);
  }
}

// Lets the form show these settings.
export function showSettings(settings) {
  for (const [name, set] of Object.entries(setters)) set(settings[name]);
  byId("set-neat-residual").disabled = settings["neat.depth"] % 2 === 1;
  byId("home").textContent = HOMES[settings.kind];
  byId("set-truth").disabled = settings.kind === "full-rank";
}
