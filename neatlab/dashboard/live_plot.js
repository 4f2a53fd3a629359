// A chart that is drawn once and then fed: Plotly.react keeps the node, the zoom and the hidden traces.
// `element`, `props` and `watch` are what gr.HTML hands to js_on_load.
const chart = element.querySelector(".live-chart");
const caption = element.querySelector(".live-caption");
const empty = element.querySelector(".live-empty");
const tools = element.querySelector(".live-tools");
const table = element.querySelector(".live-table");
const themes = JSON.parse(props.themes);
const MOST_ROWS = 400;
const config = {
  responsive: true,
  displaylogo: false,
  // Plotly's "Share chart" would upload the data to another machine.
  modeBarButtonsToRemove: ["sendChartToCloud", "select2d", "lasso2d", "autoScale2d"],
  plotlyServerURL: "",
};

let drawn = ""; // an update of the page may bring the same chart again

function draw() {
  const dark = document.body.classList.contains("dark");
  if (drawn === `${dark}${props.value}`) return;
  drawn = `${dark}${props.value}`;
  const value = props.value ? JSON.parse(props.value) : null;
  empty.hidden = value !== null;
  tools.hidden = value === null;
  caption.textContent = value ? value.caption : "";
  if (!value) {
    if (chart.data) Plotly.purge(chart);
    return;
  }
  const template = dark ? themes.dark : themes.light;
  beyondLinks(() => Plotly.react(chart, value.figure.data, { ...value.figure.layout, template }, config));
  if (!table.hidden) fillTable();
}

// Where the page has a <base>, Plotly names its clip paths by the whole address, and they break when the link
// changes; it looks for one when it meets a chart for the first time.
function beyondLinks(react) {
  const base = chart._context ? null : document.querySelector("base");
  base?.remove();
  react();
  if (base) document.head.prepend(base);
}

// The numbers as rows of text: a line or bar a point, a heat map a cell.
function numbers() {
  const named = (axis, fallback) => chart.layout[axis]?.title?.text || fallback;
  const rows = [["series", named("xaxis", "x"), "y", "value"]];
  for (const trace of chart._fullData) {
    if (trace.hoverinfo === "skip") continue; // a band repeats its line
    const panel = `yaxis${(trace.yaxis || "y").slice(1)}`;
    if (trace.type === "heatmap") {
      trace.z.forEach((row, i) => Array.from(row, (z, j) => rows.push(["", trace.x[j], trace.y[i], z])));
    } else if (trace.orientation === "h") {
      Array.from(trace.y, (y, i) => rows.push([trace.name, y, named("xaxis", "x"), trace.x[i]]));
    } else {
      Array.from(trace.x, (x, i) => rows.push([trace.name, x, named(panel, "y"), trace.y[i]]));
    }
  }
  return rows;
}

function fillTable() {
  const [head, ...rows] = numbers();
  const made = document.createElement("table");
  made.className = "summary";
  addRow(made.createTHead(), head, "th");
  const body = made.createTBody();
  rows.slice(0, MOST_ROWS).forEach((row) => addRow(body, row, "td"));
  const note = document.createElement("p");
  note.className = "hint";
  note.textContent = rows.length > MOST_ROWS ? `The first ${MOST_ROWS} of ${rows.length} rows; CSV has all of them.` : "";
  table.replaceChildren(made, note);
}

function addRow(part, cells, kind) {
  const row = part.insertRow();
  for (const cell of cells) {
    const made = document.createElement(kind);
    if (kind === "th") made.scope = "col";
    made.textContent = typeof cell === "number" ? Number(cell.toPrecision(5)) : (cell ?? "");
    row.append(made);
  }
}

function saveCsv() {
  const quoted = (cell) => `"${String(cell ?? "").replaceAll('"', '""')}"`;
  const text = numbers().map((row) => row.map(quoted).join(",")).join("\n");
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.download = `${chart.id}.csv`;
  link.click();
  URL.revokeObjectURL(link.href);
}

// On paper: the light theme on white, whatever the page's.
async function savePicture(format) {
  const size = { width: Math.max(chart.clientWidth, 700), height: chart.clientHeight };
  const layout = { ...chart.layout, template: themes.light, paper_bgcolor: "#ffffff", width: null, height: null };
  const picture = { data: chart.data, layout };
  await Plotly.downloadImage(picture, { format, filename: chart.id, scale: format === "png" ? 2 : 1, ...size });
}

tools.addEventListener("click", (event) => {
  const asked = event.target.dataset.do;
  if (asked === "csv") saveCsv();
  if (asked === "svg" || asked === "png") savePicture(asked);
  if (asked !== "table") return;
  table.hidden = !table.hidden;
  event.target.setAttribute("aria-expanded", String(!table.hidden));
  if (!table.hidden) fillTable();
});

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
