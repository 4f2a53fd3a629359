// Charts that are drawn once and then fed: Plotly.react keeps the node, the zoom and the hidden traces.
// `element`, `props` and `watch` are what gr.HTML hands to js_on_load.
const themes = JSON.parse(props.themes);
const MAX_ROWS = 400;
const config = {
  // Plotly's tool bar would lie on the legend, and its "Share chart" upload the data to another machine. Dragging zooms, a
  // double click goes back, and the tools below a chart save it.
  displayModeBar: false,
  plotlyServerURL: "",
};

const pressed = { at: -Infinity };
const DRAW_DELAY = 150; // milliseconds: after a press, what was pressed for is drawn first

const charts = [...element.querySelectorAll(".live-figure")].map(live);

function show() {
  const values = charts.length > 1 && props.value ? JSON.parse(props.value) : {};
  for (const chart of charts) chart.show(charts.length > 1 ? values[chart.name] : props.value);
}

function live(figure) {
  const chart = figure.querySelector(".live-chart");
  const caption = figure.querySelector(".live-caption");
  const empty = figure.querySelector(".live-empty");
  const tools = figure.querySelector(".live-tools");
  const table = figure.querySelector(".live-table");
  const switches = figure.querySelector(".live-scales");
  const scales = {}; // what the reader chose: log, normalised
  let [wanted, drawn, asked] = [null, "", false];

  // Several changes at once are drawn once; in a window that nobody sees, when it is seen again. Each chart has its
  // own turn, so that whoever clicks need not wait for all of them.
  function ask(text) {
    wanted = text;
    if (asked) return;
    asked = true;
    const late = Math.max(0, pressed.at + DRAW_DELAY - performance.now());
    (document.hidden ? requestAnimationFrame : setTimeout)(() => {
      asked = false;
      draw();
    }, late);
  }

  function draw() {
    const dark = document.body.classList.contains("dark");
    const value = wanted ? inChosenLayer(figure.id, JSON.parse(wanted)) : null;
    const now = `${dark}${value?.layer}${JSON.stringify(scales)}${wanted}`;
    if (drawn === now) return; // an update of the page may bring the same chart again
    drawn = now;
    empty.hidden = value !== null;
    tools.hidden = !value?.figure;
    if (switches) switches.hidden = tools.hidden;
    caption.textContent = value ? value.caption : "";
    if (!value?.figure) {
      if (chart.data) Plotly.purge(chart);
      if (painters[figure.id]) return void (empty.hidden = painters[figure.id](chart, value?.own ?? null));
      return putHtml(chart, value?.html ?? "");
    }
    if (switches && value.figure.layout.meta?.axes) onScales(value.figure, scales, switches);
    const template = forReaders(dark ? themes.dark : themes.light);
    beyondLinks(chart, () => Plotly.react(chart, value.figure.data, { ...value.figure.layout, template }, config));
    if (!table.hidden) fillTable(chart, table);
  }

  switches?.addEventListener("click", ({ target }) => {
    if (!target.dataset.scale) return;
    scales[target.dataset.scale] = target.getAttribute("aria-pressed") === "false";
    draw();
  });

  tools.addEventListener("click", (event) => {
    const wish = event.target.dataset.do;
    if (wish === "csv") saveCsv(chart);
    if (wish === "svg" || wish === "png") savePicture(chart, wish);
    if (wish !== "table") return;
    table.hidden = !table.hidden;
    event.target.setAttribute("aria-expanded", String(!table.hidden));
    if (!table.hidden) fillTable(chart, table);
  });

  // For a page of one's own, where this page can be a part of one.
  const frames = figure.querySelector(".live-frames");
  figure.querySelector(".live-more").addEventListener("toggle", () => {
    frames.hidden = !window.neatlabCopyFrame || !figure.closest("#tab-train");
  });
  frames.addEventListener("click", ({ target }) => target.dataset.frame && window.neatlabCopyFrame(target.dataset.frame, target));

  const enlarge = figure.querySelector(".live-enlarge");
  function setEnlarged(is) {
    figure.classList.toggle("enlarged", is);
    enlarge.setAttribute("aria-pressed", String(is));
  }
  enlarge.addEventListener("click", () => setEnlarged(!figure.classList.contains("enlarged")));
  figure.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    setEnlarged(false);
    figure.querySelector(".live-more").open = false;
  });

  // Plotly's own `responsive` overlooks a window that changes its width while another tab is open.
  new ResizeObserver(() => chart.clientWidth && chart.data && Plotly.Plots.resize(chart)).observe(chart);
  return { name: figure.id, show: ask, draw };
}

// At the back of a room as on a desk.
function forReaders(template) {
  if (!document.body.classList.contains("projector")) return template;
  const [font, title] = [{ size: 16 }, { font: { size: 16 } }];
  const { layout } = template;
  const axis = (name) => ({ ...layout[name], title: { ...layout[name]?.title, ...title } });
  const legend = { ...layout.legend, font };
  return { ...template, layout: { ...layout, font: { ...layout.font, ...font }, legend, xaxis: axis("xaxis"), yaxis: axis("yaxis") } };
}

// The same figure with the lines of the layer that was chosen, where the server has not drawn that one yet.
function inChosenLayer(name, value) {
  const { chosen, layers } = window.neatlabLayers ?? { layers: {} };
  const [own, other] = [layers[value.layer], layers[chosen]];
  if (!own || !other || own === other || own.like !== other.like) return value;
  const { data, layout } = value.figure;
  other[name].lines.forEach((line, i) => (data[i].y = line));
  data.length = other[name].lines.length; // without the earlier steps, which only the server knows of this layer
  layout.uirevision = layout.uirevision.replace(value.layer, chosen);
  return { figure: { data, layout }, caption: other[name].caption, layer: chosen };
}

// On the axes that the reader chose; before a choice on those that suit the values.
function onScales({ data, layout }, scales, switches) {
  const { axes, chosen, normalised } = layout.meta;
  const log = scales.log ?? chosen === "log";
  for (const [name, axis] of Object.entries(axes[log ? "log" : "linear"])) layout[name] = { ...layout[name], ...axis };
  if (scales.normalised) {
    layout.yaxis = { ...layout.yaxis, title: { text: normalised }, range: undefined };
    const largest = Object.fromEntries(data.filter((t) => t.mode === "lines+markers").map((t) => [t.legendgroup, t.y[0]]));
    for (const trace of data) {
      const first = trace.fill ? largest[trace.legendgroup] : trace.y[0]; // a band by its line's
      trace.y = trace.y.map((y) => (first ? y / first : null));
    }
  }
  layout.uirevision += `${log}${scales.normalised}`; // another scale starts unzoomed
  for (const [name, on] of [["log", log], ["normalised", Boolean(scales.normalised)]])
    switches.querySelector(`[data-scale=${name}]`).setAttribute("aria-pressed", String(on));
}

// Where the page has a <base>, Plotly names its clip paths by the whole address, and they break when the link
// changes; it looks for one when it meets a chart for the first time.
function beyondLinks(chart, react) {
  const base = chart._context ? null : document.querySelector("base");
  base?.remove();
  react();
  if (base) document.head.prepend(base);
}

// The numbers as rows of text: a line or bar a point, a heat map a cell.
function numbers(chart) {
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

function fillTable(chart, table) {
  const [head, ...rows] = numbers(chart);
  const made = document.createElement("table");
  made.className = "summary";
  addRow(made.createTHead(), head, "th");
  const body = made.createTBody();
  rows.slice(0, MAX_ROWS).forEach((row) => addRow(body, row, "td"));
  const note = document.createElement("p");
  note.className = "hint";
  note.textContent = rows.length > MAX_ROWS ? `The first ${MAX_ROWS} of ${rows.length} rows; CSV has all of them.` : "";
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

function saveCsv(chart) {
  const quoted = (cell) => `"${String(cell ?? "").replaceAll('"', '""')}"`;
  const text = numbers(chart).map((row) => row.map(quoted).join(",")).join("\n");
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.download = `${chart.id}.csv`;
  link.click();
  URL.revokeObjectURL(link.href);
}

// On paper: the light theme on white, whatever the page's.
async function savePicture(chart, format) {
  const size = { width: Math.max(chart.clientWidth, 700), height: chart.clientHeight };
  const layout = { ...chart.layout, template: themes.light, paper_bgcolor: "#ffffff", width: null, height: null };
  const picture = { data: chart.data, layout };
  await Plotly.downloadImage(picture, { format, filename: chart.id, scale: format === "png" ? 2 : 1, ...size });
}

watch("value", show);
if (charts.length > 1) {
  // From the last: the spectrum is what one looks at, and quicker to draw than the curves above it.
  document.addEventListener("neatlab-layers", () => charts.toReversed().forEach((chart) => chart.draw()));
}
for (const press of ["pointerdown", "keydown"]) {
  document.addEventListener(press, (event) => (pressed.at = event.timeStamp), true);
}
new MutationObserver(show).observe(document.body, { attributes: true, attributeFilter: ["class"] });
show();
