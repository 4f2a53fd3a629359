// A chart that is drawn once and then fed: Plotly.react keeps the node, the zoom and the hidden traces.
// `element`, `props` and `watch` are what gr.HTML hands to js_on_load.
const chart = element.querySelector(".live-chart");
const caption = element.querySelector(".live-caption");
const empty = element.querySelector(".live-empty");
const config = {
  responsive: true,
  displaylogo: false,
  // Plotly's "Share chart" would upload the data to another machine.
  modeBarButtonsToRemove: ["sendChartToCloud", "select2d", "lasso2d", "autoScale2d"],
  plotlyServerURL: "",
};

function draw() {
  const value = props.value ? JSON.parse(props.value) : null;
  empty.hidden = value !== null;
  caption.textContent = value ? value.caption : "";
  if (!value) {
    if (chart.data) Plotly.purge(chart);
    return;
  }
  const template = document.body.classList.contains("dark") ? props.dark : props.light;
  Plotly.react(chart, value.figure.data, { ...value.figure.layout, template }, config);
}

// The value and the page's light or dark class may change many times a second; draw once a frame.
let asked = false;
function ask() {
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => {
    asked = false;
    draw();
  });
}

watch("value", ask);
new MutationObserver(ask).observe(document.body, { attributes: true, attributeFilter: ["class"] });
draw();
