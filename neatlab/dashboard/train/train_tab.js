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

// From the first step to the last in some seconds; a second press, or a hand on the slider, ends it.
const [REPLAY, FRAME] = [5000, 80]; // milliseconds: of it all, and of a step
let replay = null;
window.neatlabReplay = () => {
  if (replay) return clearInterval(replay), (replay = null);
  const [range, begun] = [document.querySelector("#at input[type=range]"), performance.now()];
  replay = setInterval(() => {
    const share = Math.min(1, (performance.now() - begun) / REPLAY);
    range.value = Math.round(share * range.max);
    range.dispatchEvent(new Event("input", { bubbles: true }));
    if (share === 1) window.neatlabReplay();
  }, FRAME);
};
document.addEventListener("pointerdown", ({ target }) => replay && target.closest("#at") && window.neatlabReplay(), true);

document.addEventListener("click", ({ target }) => {
  if (target.closest("[data-find-out]")) document.getElementById("find-out").click();
});

// A question from the first page: its preset is opened and trained, or the panel for one's own data.
document.addEventListener("click", ({ target }) => {
  if (target.closest("[data-train]")) sessionStorage.setItem("neatlab-train", "yes");
  const panel = document.getElementById(target.closest("[data-open]")?.dataset.open);
  if (!panel) return;
  if (!panel.querySelector("input[type=file]")?.checkVisibility()) panel.querySelector("button").click();
  panel.scrollIntoView({ block: "nearest" });
  panel.querySelector("button").focus();
  (function whenLaidOut() {
    const field = panel.querySelector("input[type=file]");
    if (field) field.click(); // the press on the question allows it
    else requestAnimationFrame(whenLaidOut);
  })();
});
if (sessionStorage.getItem("neatlab-train")) {
  sessionStorage.removeItem("neatlab-train");
  (function whenOpened() {
    const button = document.querySelector("#train");
    if (window.neatlabOpened && button && !button.disabled) button.click();
    else requestAnimationFrame(whenOpened);
  })();
}

document.addEventListener("click", async ({ target }) => {
  if (!target.matches("[data-copy]")) return;
  const code = target.parentElement.querySelector("code");
  getSelection().selectAllChildren(code); // where the clipboard is refused, it can be copied by hand
  await navigator.clipboard?.writeText(code.textContent).then(() => (target.textContent = "Copied"), () => {});
  setTimeout(() => (target.textContent = "Copy"), 1500);
});
