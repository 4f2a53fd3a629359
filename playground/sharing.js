// Taking it along: the link, and a frame for a page of one's own.
import { SETTINGS, hashOf } from "./settings.js";
import { byId, node } from "./words.js";

const COPIED = 1500; // milliseconds
const HEIGHTS = { train: 700, weights: 430, spectrum: 340, learning: 470 }; // CSS pixels; a narrow frame scrolls

const linkOf = (settings) => location.href.split("#")[0] + hashOf(settings);

// HTML that shows a part of the page, with these settings, in another one.
function frameOf(settings, part) {
  const title = `NEAT playground: ${SETTINGS.embed.options[part]}`;
  const src = linkOf({ ...settings, embed: part, tour: 0 });
  return node("iframe", "", { src, title, width: "100%", height: HEIGHTS[part], style: "border:0" }).outerHTML;
}

async function copy(text, button, onRefusal) {
  const word = (button.dataset.word ??= button.textContent); // it may say "Copied" still
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = word), COPIED);
  } catch {
    onRefusal(); // the browser lets no script write there
  }
}

function showLink() {
  byId("link-field").hidden = false;
  byId("link").value = location.href;
  byId("link").select();
}

// In a frame stands one part, and a link to all of it.
export function showPart(settings) {
  const { dataset } = document.documentElement;
  if (settings.embed === "none") delete dataset.embed;
  else dataset.embed = settings.embed;
  byId("whole").href = linkOf({ ...settings, embed: "none" });
}

// read(): the settings.
export function listenToSharing(read) {
  const [part, code] = [byId("frame-part"), byId("frame-code")];
  const write = () => (code.value = frameOf(read(), part.value));
  part.append(...Object.keys(HEIGHTS).map((name) => node("option", SETTINGS.embed.options[name], { value: name })));
  part.addEventListener("change", write);
  byId("show-frame").addEventListener("click", () => {
    write();
    byId("frame").showModal();
  });
  byId("copy-frame").addEventListener("click", ({ target }) => copy(code.value, target, () => code.select()));
  byId("copy").addEventListener("click", ({ target }) => copy(location.href, target, showLink));
}
