// The page by keyboard, and the list of its keys. `element` is what gr.HTML hands to js_on_load.
const pressFirst = (...names) => {
  const buttons = names.map((name) => document.getElementById(name));
  buttons.find((button) => button?.checkVisibility() && !button.disabled)?.click();
};
const openTab = (index) => [...document.querySelectorAll("#tabs [role=tab]")][index]?.click();
const keys = {
  " ": ["Space", "train, pause, go on", () => pressFirst("train", "pause")],
  ArrowRight: ["→", "one step", () => pressFirst("step")],
  p: ["p", "replay the training", () => pressFirst("replay")],
  r: ["r", "reset", () => pressFirst("reset")],
  t: ["t", "light or dark", () => pressFirst("theme")],
  "?": ["?", "these keys", () => element.querySelector("dialog").showModal()],
};
for (const [i, title] of element.querySelector("dialog").dataset.tabs.split("|").entries()) {
  keys[i + 1] = [`${i + 1}`, `the tab ${title}`, () => openTab(i)];
}

// Not what is typed, nor the keys that the control in focus takes itself.
const isTyped = (target) => target.closest("input, textarea, select, [contenteditable]");
const takesIt = ({ key, target }) =>
  (key.length > 1 || key === " ") && target.closest("a, button, summary, [tabindex], [role]");

document.addEventListener("keydown", (event) => {
  if (!(event.key in keys) || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (isTyped(event.target) || takesIt(event) || element.querySelector("dialog").open) return;
  event.preventDefault();
  keys[event.key][2]();
});
element.querySelector("tbody").append(
  ...Object.values(keys).map(([key, text]) => {
    const row = document.createElement("tr");
    const [name, meaning] = [document.createElement("th"), document.createElement("td")];
    const mark = Object.assign(document.createElement("kbd"), { textContent: key });
    name.scope = "row";
    name.append(mark);
    meaning.textContent = text;
    row.append(name, meaning);
    return row;
  }),
);
document.addEventListener("click", (event) => {
  const link = event.target.closest("[data-open-tab]");
  if (!link) return;
  event.preventDefault();
  link.closest("[popover]")?.hidePopover();
  window.neatlabOpenTab(link.dataset.openTab);
});
window.neatlabShowKeys = keys["?"][2];
