// The weights panel: every matrix of one layer to one scale, beside the equation that they are part of. What the server
// sends are the thin factors, pooled; ΔW is their product, made here. Before a training, or without one, `sketched` gives
// the shapes, or null, and the numbers too where it has some; the event `changed` of the document says that they are others.
const weightsPanel = (sketched, changed) => {
  const { product, largest, opened } = weightsMatrices;
  const { terms, fit, side, LINE } = weightsLayout;
  const COLOURS = { light: { 1: [27, 120, 55], "-1": [118, 42, 131] }, dark: { 1: [96, 211, 128], "-1": [206, 137, 226] } };
  const [SIGN, ROOT] = ["−", 0.6]; // colours grow with this power of a value: most entries are far below the largest
  let [area, given, sketch, shown, pictures, pointer, built] = [null, null, null, null, [], null, ""];
  let [marked, followed] = [false, null]; // whether the spectrum shows what is pointed at here; the chart that is heard

  function element(tag, name, text = "") {
    const made = document.createElement(tag);
    made.className = `weights-${name}`;
    made.append(...lowered(text));
    return made;
  }

  // "Θ_L" with its index below the line.
  function lowered(text) {
    const [first, ...rest] = text.split("_L");
    return [first, ...rest.flatMap((part) => [Object.assign(document.createElement("sub"), { textContent: "L" }), part])];
  }

  const sizes = (term, known) => [term.rows, term.columns].map((size, i) => (!known && term.axes[i] !== "unit" && term.axes[i] ? `d_${term.axes[i]}` : size.toLocaleString("en"))).join("×");

  function picture(term, arm, scale) {
    const [box, canvas] = [element("map", "map"), element("canvas", "canvas")];
    const [width, height] = [side(term.columns, scale), side(term.rows, scale)];
    Object.assign(canvas.style, { width: `${width}px`, height: `${height}px` });
    const ratio = window.devicePixelRatio || 1;
    Object.assign(canvas, { width: Math.round(width * ratio), height: Math.round(height * ratio) });
    canvas.dataset.role = term.role;
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${term.title || term.label || "inner Θ"}${arm ? ` of ${arm.name}` : ""}, ${sizes(term, shown.known ?? true)}`);
    canvas.title = [term.title, sizes(term, shown.known ?? true)].filter(Boolean).join(", ");
    canvas.classList.toggle("weights-empty", !shown.base);
    const label = element("span", "label");
    label.append(element("span", "words", term.label));
    box.append(canvas, label);
    pictures.push({ canvas, term, arm });
    return box;
  }

  const laid = (term, arm, scale) => {
    if (typeof term === "string") return element("span", "sign", term);
    if (!term.stack) return picture(term, arm, scale);
    const stack = element("div", "stack");
    stack.append(...term.stack.map((one) => picture(one, arm, scale)));
    return stack;
  };

  function heading(arm, line) {
    const [head, key, words] = [element("p", "head"), element("i", "key"), element("span", "equation")];
    key.style.background = arm.colour;
    const texts = line.flatMap((term) => term.stack ?? term).map((term) => (typeof term === "string" ? term : term.role.startsWith("inner") ? "" : `${term.label} ${sizes(term, shown.known ?? true)}`));
    words.append(element("b", "name", arm.name), arm.measured ? ` ${arm.measured} · ` : "", ...lowered(` ${arm.kind ? texts.filter(Boolean).join(" ") : (arm.note ?? "")}`));
    words.title = words.textContent;
    head.append(key, words);
    if (arm.sigma?.length && arm.u.columns) head.append(bars(arm));
    return head;
  }

  // A bar a singular value; to point at one shows its direction.
  function bars(arm) {
    const box = element("span", "sigma", "σ");
    arm.sigma.slice(0, arm.u.columns).forEach((value, k) => {
      const bar = element("span", "bar");
      bar.title = `σ${k + 1} = ${short(value)}`;
      bar.style.setProperty("--share", value / arm.sigma[0]);
      bar.addEventListener("pointerenter", () => point({ arm, direction: k }));
      bar.addEventListener("pointerleave", () => point(null));
      box.append(bar);
    });
    return box;
  }

  function build() {
    const { width, height } = { width: area.clientWidth, height: area.clientHeight };
    const extras = shown.sketch ? ["weight"] : Object.keys(shown.base);
    const parts = shown.arms.map((arm) => (arm.kind ? terms(arm, shown.shape) : [[]]));
    const { scale, columns, armColumns, lines, scrolls } = fit(parts, extras.length, shown.shape, width, height - LINE);
    const [view, left, right] = [element("div", "view"), element("div", "extras"), element("div", "arms")];
    pictures = [];
    left.style.gridTemplateColumns = `repeat(${columns}, auto)`;
    right.style.gridTemplateColumns = `repeat(${armColumns}, minmax(0, 1fr))`;
    view.classList.toggle("weights-scrolls", scrolls);
    const difference = shown.compared?.length ? differenceName() : "";
    const labels = { weight: "W₀", true: "ΔW*", difference: difference.length > 16 ? "difference" : difference };
    const [m, n] = shown.shape;
    if (m) left.append(...extras.map((role) => picture({ role, label: labels[role], title: role === "difference" ? difference : "", rows: m, columns: n, axes: ["out", "in"] }, null, scale)));
    shown.arms.forEach((arm, i) => {
      const row = element("div", "arm");
      row.append(heading(arm, lines[i].flat()));
      for (const line of lines[i]) {
        const maps = element("div", "maps");
        maps.append(...line.map((term) => laid(term, arm, scale)));
        row.append(maps);
      }
      right.append(row);
    });
    view.append(left, right);
    const [text, readout] = [element("p", "text", shown.text ?? ""), element("p", "readout")];
    view.tabIndex = 0;
    view.setAttribute("role", "group");
    view.setAttribute("aria-label", `Weights${shown.layer ? ` of ${shown.layer}` : ""}`);
    area.replaceChildren(view, readout, text);
    listen(view);
  }

  // An arm's method where no other arm has it.
  function shortName(arm) {
    const first = (one) => one.name.split(" ")[0];
    return shown.arms.filter((one) => first(one) === first(arm)).length > 1 ? arm.name : first(arm);
  }

  function differenceName() {
    const [first, second] = shown.compared.map((index) => shown.arms[index]);
    return `${shortName(second)} ${SIGN} ${shortName(first)}`;
  }

  const valuesOf = ({ term, arm }) => (arm ? arm.maps?.[term.role] : shown.base?.[term.role]);
  const isDelta = (role) => ["delta", "true", "difference"].includes(role);

  // What a matrix shows now: all of it, or of its arm's ΔW what one hidden unit or singular direction adds.
  function current(one) {
    const { term, arm } = one;
    if (term.role !== "delta" || !pointer || pointer.arm !== arm) return valuesOf(one);
    if (pointer.unit !== undefined && arm.maps.left && arm.rank === arm.maps.left.columns) return product(arm.maps.left, arm.maps.right, [pointer.unit]);
    if (pointer.direction === undefined) return valuesOf(one);
    const made = product(arm.u, arm.v, [pointer.direction]);
    return { ...made, values: made.values.map((x) => x * arm.sigma[pointer.direction]) };
  }

  function paint(one) {
    const matrix = current(one);
    if (!matrix) return;
    const { canvas, term } = one;
    const colours = COLOURS[document.body.classList.contains("dark") ? "dark" : "light"];
    const scale = (isDelta(term.role) ? shown.scale : largest([matrix])) || 1;
    const cells = new OffscreenCanvas(matrix.columns, matrix.rows);
    const image = new ImageData(matrix.columns, matrix.rows);
    const strong = strengths(one, matrix);
    matrix.values.forEach((value, i) => image.data.set([...colours[value < 0 ? -1 : 1], 255 * Math.min(1, Math.abs(value) / scale) ** ROOT * strong(i)], 4 * i));
    cells.getContext("2d").putImageData(image, 0, 0);
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.imageSmoothingEnabled = canvas.width < matrix.columns || canvas.height < matrix.rows;
    context.drawImage(cells, 0, 0, canvas.width, canvas.height);
    mark(context, one, matrix);
  }

  // Of W₀ and the factors, how much a row or column has to do with the singular direction pointed at.
  function strengths({ term, arm }, { columns }) {
    if (pointer?.direction === undefined || (arm && arm !== pointer.arm) || isDelta(term.role)) return () => 1;
    const share = { out: parts(pointer.arm.u, pointer.direction, true), in: parts(pointer.arm.v, pointer.direction, false) };
    const of = (axis, i) => share[axis]?.[i] ?? 1;
    return (i) => of(term.axes[0], Math.floor(i / columns)) * of(term.axes[1], i % columns);
  }

  function parts(vectors, k, inColumns) {
    const count = inColumns ? vectors.rows : vectors.columns;
    const sizes = [...Array(count).keys()].map((i) => Math.abs(vectors.values[inColumns ? i * vectors.columns + k : k * vectors.columns + i]));
    return sizes.map((size) => size / (Math.max(...sizes) || 1));
  }

  // Lines around the row and column pointed at, wherever they are.
  function mark(context, { term, arm, canvas }, matrix) {
    if (!pointer) return;
    const place = (axis) => (axis === "unit" ? (arm === pointer.arm ? pointer.unit : undefined) : pointer[axis]);
    context.strokeStyle = getComputedStyle(canvas).color;
    const [h, w] = [canvas.height / matrix.rows, canvas.width / matrix.columns];
    const [row, column] = term.axes.map(place);
    if (row !== undefined) context.strokeRect(0.5, row * h + 0.5, canvas.width - 1, Math.max(h - 1, 1));
    if (column !== undefined) context.strokeRect(column * w + 0.5, 0.5, Math.max(w - 1, 1), canvas.height - 1);
  }

  const short = (value) => Number(value.toPrecision(3)).toString().replace("-", SIGN);

  // One row's or column's number, counted from 1; of pooled ones from the first to the last.
  function range(cell, axis) {
    const [size, cells] = axis === "out" ? [shown.shape[0], shown.cells[0]] : [shown.shape[1], shown.cells[1]];
    const [from, to] = [Math.floor((cell * size) / cells) + 1, Math.floor(((cell + 1) * size) / cells)];
    return from === to ? `${from}` : `${from}–${to}`;
  }

  function said() {
    if (shown.sketch && !pointer) return shown.words;
    if (!shown.shape[0]) return "";
    if (!pointer) return `ΔW from ${SIGN}${short(shown.scale)} (purple) to ${short(shown.scale)} (green); W₀ to ±${short(largest([shown.base.weight]))}`;
    if (pointer.direction !== undefined) return `${pointer.arm.name}: σ${pointer.direction + 1} = ${short(pointer.arm.sigma[pointer.direction])}, what this direction alone is of ΔW`;
    const words = [["row", "out"], ["column", "in"]].filter(([, axis]) => pointer[axis] !== undefined).map(([name, axis]) => `${name} ${range(pointer[axis], axis)}`);
    if (pointer.unit !== undefined) words.unshift(`${pointer.arm.name}, unit ${pointer.unit + 1}`);
    return `${words.join(", ")}: ${pictures.map(numberAt).filter(Boolean).join(" · ")}`;
  }

  function numberAt(one) {
    const matrix = valuesOf(one);
    const place = (axis) => (axis === "unit" ? (one.arm === pointer.arm ? pointer.unit : undefined) : pointer[axis]);
    const [row, column] = one.term.axes.map(place);
    if (!matrix || row === undefined || column === undefined) return "";
    const whose = one.arm && one.term.role === "delta" ? ` ${shortName(one.arm)}` : "";
    return `${one.term.label}${whose} ${short(matrix.values[row * matrix.columns + column])}`;
  }

  function point(next) {
    pointer = next;
    inSpectrum();
    pictures.forEach(paint);
    const readout = area.querySelector(".weights-readout");
    if (readout) readout.textContent = said();
  }

  // The direction pointed at, in the chart of the singular values; and the other way.
  function inSpectrum() {
    const chart = document.querySelector("#spectrum-chart");
    const curveNumber = chart?.data?.findIndex((trace) => trace.mode === "lines+markers" && trace.name === pointer?.arm?.name) ?? -1;
    const is = curveNumber >= 0 && pointer.direction !== undefined && !pointer.inSpectrum;
    if (!is && !marked) return;
    marked = is;
    if (is) Plotly.Fx.hover(chart, [{ curveNumber, pointNumber: pointer.direction }]);
    else if (chart?.data) Plotly.Fx.unhover(chart);
  }

  function followSpectrum() {
    const chart = document.querySelector("#spectrum-chart");
    if (!chart?.on || chart === followed) return;
    followed = chart;
    chart.on("plotly_hover", ({ points: [{ data, pointNumber }] }) => {
      const arm = shown.arms.find((one) => one.name === data.name && pointNumber < (one.u?.columns ?? 0));
      if (arm && !marked) point({ arm, direction: pointNumber, inSpectrum: true });
    });
    chart.on("plotly_unhover", () => pointer?.inSpectrum && point(null));
  }

  function listen(view) {
    for (const one of pictures) {
      one.canvas.addEventListener("pointermove", (event) => point(placeOf(event, one)));
      one.canvas.addEventListener("pointerleave", () => point(null));
    }
    view.addEventListener("keydown", (event) => {
      const next = shown.cells ? moved(event.key) : undefined;
      if (next === undefined) return;
      event.preventDefault();
      if (event.key === "Escape") event.stopPropagation(); // the panel stays enlarged
      area.querySelector(".weights-readout").setAttribute("aria-live", "polite");
      point(next);
    });
    view.addEventListener("blur", () => area.querySelector(".weights-readout")?.removeAttribute("aria-live"));
  }

  function placeOf(event, one) {
    const matrix = valuesOf(one);
    if (!matrix) return null;
    const box = one.canvas.getBoundingClientRect();
    const cell = (at, size, count) => Math.min(count - 1, Math.max(0, Math.floor((at / size) * count)));
    const cells = [cell(event.clientY - box.top, box.height, matrix.rows), cell(event.clientX - box.left, box.width, matrix.columns)];
    return { arm: one.arm, ...Object.fromEntries(one.term.axes.map((axis, i) => [axis, cells[i]])) };
  }

  // Where the keyboard goes from here; undefined for a key that is none of ours.
  function moved(key) {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[key];
    const within = (at, count) => Math.min(Math.max(at, 0), count - 1);
    if (step && shown.shape[0]) {
      const at = [pointer?.out, pointer?.in].map((cell, i) => (cell === undefined ? 0 : within(cell + step[i], shown.cells[i])));
      return { out: at[0], in: at[1] };
    }
    const all = shown.arms.flatMap((arm) => (arm.kind ? [...Array(arm.u?.columns ?? 0).keys()].map((direction) => ({ arm, direction })) : []));
    const here = all.findIndex((one) => one.arm === pointer?.arm && one.direction === pointer?.direction);
    if (key === "PageDown" || key === "PageUp") return all[within(here + (key === "PageDown" ? 1 : -1), all.length)];
    return key === "Escape" && pointer ? null : undefined;
  }

  function show(value) {
    shown = opened(value);
    area.parentElement.querySelector(".live-empty").hidden = true;
    const now = JSON.stringify([area.clientWidth, area.clientHeight, value.sketch ? value : [value.layer, value.shape, value.cells, value.compared, Object.keys(shown.base), value.arms.map((arm) => [arm.name, arm.colour, arm.kind, arm.rank, arm.depth, arm.note, arm.u?.cells])]]);
    const same = now === built && area.firstChild;
    if (!same) {
      [built, pointer] = [now, null];
      build();
    }
    if (same && pointer?.arm) pointer = { ...pointer, arm: shown.arms.find((arm) => arm.name === pointer.arm.name) };
    if (same) refresh();
    followSpectrum();
    point(pointer);
  }

  // The same pictures with the numbers of another step.
  function refresh() {
    for (const one of pictures) one.arm &&= shown.arms.find((arm) => arm.name === one.arm.name);
    area.querySelector(".weights-text").textContent = shown.text ?? "";
    const heads = area.querySelectorAll(".weights-head");
    shown.arms.forEach((arm, i) => {
      heads[i].querySelector(".weights-sigma")?.remove();
      if (arm.sigma?.length && arm.u.columns) heads[i].append(bars(arm));
    });
  }

  const again = () => {
    const value = given ?? sketch;
    if (area?.clientWidth && value) show(value);
  };

  // The sketched shapes are shown until a training has something to show, and whenever they are changed. The form may be
  // filled before this script is there.
  function readForm() {
    const next = sketched();
    if (!next) return;
    const isNew = sketch && JSON.stringify(sketch) !== JSON.stringify(next);
    sketch = next;
    if (area?.clientWidth && (isNew || !given)) show(next);
  }

  document.addEventListener(changed, readForm);
  readForm();
  return (panel, value) => {
    if (area !== panel) {
      area = panel;
      area.classList.add("weights");
      new ResizeObserver(again).observe(area);
    }
    given = value;
    again();
    return Boolean(value ?? sketch);
  };
};
