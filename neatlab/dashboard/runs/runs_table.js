// Gradio's table marks no rows.
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

new MutationObserver(mark).observe(tab, { childList: true, subtree: true, characterData: true });
mark();
