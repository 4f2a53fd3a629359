// Gradio's table marks no rows, leaves its headings' menus to the mouse and its search field without a name.
// `element` is what gr.HTML hands to js_on_load; the table comes and goes in the same tab.
const tab = element.closest("[role=tabpanel]") ?? document.body;
let picked = new Set();

window.neatlabPick = (runs) => {
  picked = new Set(runs);
  mark();
};

function mark() {
  for (const row of tab.querySelectorAll("#runs-table .virtual-row")) {
    const chosen = picked.has(row.querySelector("[data-col='0']")?.textContent.trim());
    if (row.ariaSelected !== String(chosen)) row.ariaSelected = String(chosen);
  }
}

function name() {
  const search = tab.querySelector("#runs-table .search-input");
  if (search && !search.ariaLabel) search.ariaLabel = "search all runs";
  for (const button of tab.querySelectorAll("#runs-table .cell-menu-button")) {
    if (button.tabIndex === 0) continue;
    button.tabIndex = 0;
    button.ariaLabel = `${button.closest("[role=columnheader]")?.title}: sort or filter`;
  }
  // A menu that was opened by a key is gone through by keys.
  const opened = document.activeElement?.matches("#runs-table .cell-menu-button:focus-visible");
  if (opened) tab.querySelector("[role=menu] [role=menuitem]")?.focus();
}

function tend() {
  name();
  mark();
}

new MutationObserver(tend).observe(tab, { childList: true, subtree: true, characterData: true });
tend();
