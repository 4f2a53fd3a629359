// Keeps the address in step with the page, so that it can be copied, bookmarked and loaded again.
// `props`, `watch` and `trigger` are what gr.HTML hands to js_on_load.
const ours = ["tab", "hide", "lesson", "view", "embed", "tour"]; // said by the page itself, not by its fields
let shown = location.search;
const tabOf = (query) => query.get("tab") ?? "train";

// The first tab is selected before the link has been read: what it says must not be written over.
window.neatlabSetLink = (changes) => {
  if (!window.neatlabOpened) return;
  const query = new URLSearchParams(location.search);
  const before = tabOf(query);
  for (const [name, value] of Object.entries(changes)) {
    query.delete(name);
    for (const item of [value ?? []].flat()) query.append(name, item);
  }
  show(query, tabOf(query) !== before);
};

// In a narrow window Gradio keeps some tabs in a menu, without an id: of the buttons with a name the last is the one that opens it.
window.neatlabOpenTab = (name) => {
  const buttons = [...document.querySelectorAll("#tabs .tab-wrapper button")];
  buttons.findLast((button) => button.textContent.trim().toLowerCase() === name)?.click();
};

// Back goes to the tab before; what is in the fields stays.
window.addEventListener("popstate", () => {
  const tab = tabOf(new URLSearchParams(location.search));
  const query = new URLSearchParams(shown);
  query.set("tab", tab);
  show(query);
  window.neatlabOpenTab(tab);
});
// On the body for scripts; Gradio's rules for styles reach only what lies within its page.
if (new URLSearchParams(location.search).get("view") === "projector")
  for (const part of [document.body, element.closest(".contain > .column")]) part?.classList.add("projector");

// The server writes the link of what is in the fields, once for several edits in a row.
const EDITING = 50; // milliseconds
let edited;
window.neatlabEdited = () => {
  clearTimeout(edited);
  edited = setTimeout(() => trigger("edit"), EDITING);
};

// To the clipboard; where it is refused, a question holds the text to copy by hand.
window.neatlabCopy = async (text, button, question) => {
  const word = (button.dataset.word ??= button.textContent); // after a press it says "Copied" for a while
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    window.prompt(question, text);
  }
  setTimeout(() => (button.textContent = word), 1500);
};
window.neatlabCopyLink = () =>
  window.neatlabCopy(location.href, document.querySelector("#copy-link"), "The link to this page:");

// The tabs are one stop of the keyboard, gone through by arrows, as readers of other pages know them.
const tabsShown = () => [...document.querySelectorAll("#tabs [role=tab]")].filter((tab) => tab.checkVisibility());
function tendTabs(list) {
  const tend = () => {
    for (const tab of list.querySelectorAll("[role=tab]")) {
      const index = tab.ariaSelected === "true" ? 0 : -1;
      if (tab.tabIndex !== index) tab.tabIndex = index;
    }
  };
  new MutationObserver(tend).observe(list, { subtree: true, attributes: true, attributeFilter: ["aria-selected"] });
  tend();
}
// Gradio may put them into the page after this.
(function whenThere() {
  const list = document.querySelector("#tabs:has([role=tab])");
  if (list) tendTabs(list);
  else requestAnimationFrame(whenThere);
})();
document.addEventListener("keydown", (event) => {
  const at = tabsShown().indexOf(event.target);
  const steps = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: -1 };
  if (at < 0 || !(event.key in steps)) return;
  event.preventDefault();
  const next = tabsShown().at(steps[event.key] % tabsShown().length);
  next.click();
  next.focus();
});

// Light or dark as chosen here before; else as Gradio's page has it.
const setDark = (is) => document.body.classList.toggle("dark", is);
const chosenTheme = localStorage.getItem("neatlab-theme");
if (chosenTheme && !new URLSearchParams(location.search).has("__theme")) setDark(chosenTheme === "dark");
window.neatlabSwitchTheme = () => {
  setDark(!document.body.classList.contains("dark"));
  localStorage.setItem("neatlab-theme", document.body.classList.contains("dark") ? "dark" : "light");
};

function show(query, isNew = false) {
  const text = query.toString().replaceAll("%3A", ":").replaceAll("%2C", ",").replaceAll("%3D", "=");
  history[isNew ? "pushState" : "replaceState"](history.state, "", text ? `?${text}` : location.pathname);
  shown = location.search;
}

watch("value", () => {
  const now = new URLSearchParams(location.search);
  const next = new URLSearchParams(props.value);
  for (const [name, value] of now) {
    if (ours.includes(name) || name.startsWith("__")) next.append(name, value);
  }
  show(next);
});
