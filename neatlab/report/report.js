// FIGURES: id → {data, layout}; TEMPLATES: {light, dark}, both from plots/theme.py.
const dark = matchMedia("(prefers-color-scheme: dark)");
const CONFIG = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["lasso2d", "select2d"] };

function draw() {
  for (const [id, figure] of Object.entries(FIGURES)) {
    const { data, layout } = structuredClone(figure);
    layout.template = structuredClone(dark.matches ? TEMPLATES.dark : TEMPLATES.light);
    Plotly.react(id, data, layout, CONFIG);
  }
}

dark.addEventListener("change", draw);
draw();
