// What the Train tab does in the page by itself. `props`, `watch` and `trigger` are the status's, as gr.HTML hands them
// to js_on_load.

// An update reaches few components. The buttons and lists seldom change: the status says when, and they are asked for.
let known = null;
watch("value", () => {
  const now = /data-controls="([^"]*)"/.exec(props.value)?.[1] ?? known;
  if (now !== known) trigger("submit");
  known = now;
});

// An update may move the slider between the moment someone moved it and the moment Gradio reads it.
let moved = null;
document.addEventListener("input", ({ target }) => target.closest("#at") && (moved = Number(target.value)), true);
document.addEventListener("click", ({ target }) => target.closest("#at button") && (moved = null), true); // its reset
window.neatlabMoved = (at) => moved ?? at;

window.neatlabLinkStep = (at) => {
  const step = window.neatlabMoved(at);
  window.neatlabSetLink({ at: step < document.querySelector("#at input").max ? step : null });
};

// The page has the lines of all layers: another one is drawn at once, and the server's drawing of it comes later.
window.neatlabLayers = { chosen: null, layers: {} };
const changed = () => document.dispatchEvent(new Event("neatlab-layers"));
window.neatlabChooseLayer = (layer) => {
  window.neatlabLayers.chosen = layer;
  changed();
};
// Gradio tells of a choice some updates later; the press on it is heard at once.
document.addEventListener(
  "mousedown",
  ({ target, button }) => {
    const layer = button === 0 && target.closest("#layer [role=option]")?.getAttribute("aria-label");
    if (layer) window.neatlabChooseLayer(layer);
  },
  true,
);
window.neatlabKeepLayers = (layers) => {
  window.neatlabLayers.layers = layers;
  changed();
};
