// What the Train tab does in the page by itself. `props`, `watch` and `trigger` are the status's, as gr.HTML hands them
// to js_on_load.

// Gradio does not order the updates of two events, and an update may be lost on its way: each has a number, an older one
// is put back, and a window that hears nothing though there is more to come asks again.
const [SILENCE, MAX_SILENCE] = [4000, 60000]; // milliseconds; longer each time, for a server that is slow
const newest = { number: 0, value: props.value, more: false };
// A browser that draws updates later than they come falls behind until a click waits a minute: it asks for fewer. Of the
// time since an update was made the least is the way here and what the two clocks differ by.
const [LATE, LEARNT] = [1000, 0.02]; // milliseconds, also between two complaints
let [leastDelay, complained] = [null, -Infinity];
function checkDelay(sent) {
  const [delay, now] = [Date.now() - sent, performance.now()];
  leastDelay = Math.min(delay, (leastDelay ?? delay) + LEARNT * (delay - (leastDelay ?? delay))); // a clock may jump
  if (delay < leastDelay + LATE || now < complained + LATE) return;
  complained = now;
  trigger("blur");
}
let [known, heard, silence] = [null, performance.now(), SILENCE];

watch("value", () => {
  const { update, sent, controls, more, lost } = element.querySelector("[data-update], [data-lost]")?.dataset ?? {};
  if (lost) return location.reload();
  if (Number(update ?? 0) < newest.number) {
    props.value = newest.value;
    return trigger("retry");
  }
  if (Number(update ?? 0) > newest.number) checkDelay(Number(sent));
  Object.assign(newest, { number: Number(update ?? 0), value: props.value, more: Boolean(more) });
  [heard, silence] = [performance.now(), SILENCE];
  // An update reaches few components. The buttons and lists seldom change: they are asked for when the status says so.
  if (controls !== undefined && controls !== known) trigger("submit");
  known = controls ?? known;
});

setInterval(() => {
  if (!newest.more || performance.now() - heard < silence) return;
  [heard, silence] = [performance.now(), Math.min(2 * silence, MAX_SILENCE)];
  trigger("tick");
}, 1000);

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
