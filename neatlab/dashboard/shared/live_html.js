// Charts that draw themselves: name → what draws a value into their area, and says whether there is anything.
const painters = {};

// A chart that is HTML: what one has opened stays open, what one has scrolled to stays in sight.
function putHtml(area, html) {
  if (area.shownHtml === html) return;
  const open = new Set([...area.querySelectorAll("details[open]")].map((part) => part.dataset.key));
  const focused = area.contains(document.activeElement) && document.activeElement.closest("details")?.dataset.key;
  const top = area.scrollTop;
  area.shownHtml = html;
  area.innerHTML = html; // made and escaped by the server
  area.classList.toggle("live-html", html !== "");
  if (html) area.tabIndex = 0; // what scrolls can be scrolled by keyboard
  else area.removeAttribute("tabindex");
  for (const part of area.querySelectorAll("details[data-key]")) {
    part.open = open.has(part.dataset.key);
    if (focused === part.dataset.key) part.querySelector("summary").focus({ preventScroll: true });
  }
  area.scrollTop = top;
}
