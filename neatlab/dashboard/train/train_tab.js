// What the Train tab does in the page by itself. `props`, `watch` and `trigger` are the status's, as gr.HTML hands them
// to js_on_load.

// Gradio does not order the updates of two events, and an update may be lost on its way: each has a number, an older one
// of the same server is put back, and a window that hears nothing though there is more to come asks again.
const [SILENCE, MAX_SILENCE] = [4000, 60000]; // milliseconds; longer each time, for a server that is slow
const newest = { number: 0, server: null, value: props.value, more: false };
// The next update comes when this one is drawn, and as much time again has passed: the page is there for its reader too.
function sayDrawn(session) {
  const begun = performance.now();
  const { root, api_prefix } = window.gradio_config;
  const request = { method: "POST", headers: { "Content-Type": "application/json" } };
  request.body = JSON.stringify({ data: [], session_hash: session });
  const say = () => fetch(`${root}${api_prefix}/run/drawn`, request).catch(() => {}); // the server waits some seconds only
  const drawn = () => setTimeout(say, performance.now() - begun);
  if (document.hidden) setTimeout(drawn);
  else requestAnimationFrame(() => setTimeout(drawn));
}
let [known, heard, silence] = [null, performance.now(), SILENCE];

watch("value", () => {
  const said = element.querySelector("[data-update], [data-lost]")?.dataset ?? {};
  const { update = 0, server = newest.server, session, controls, more, lost } = said;
  if (lost) return location.reload();
  if (server === newest.server && Number(update) < newest.number) {
    props.value = newest.value;
    return trigger("retry");
  }
  Object.assign(newest, { number: Number(update), server, value: props.value, more: Boolean(more) });
  [heard, silence] = [performance.now(), SILENCE];
  if (more) sayDrawn(session);
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
