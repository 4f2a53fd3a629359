// Moves the charts through time. Above stand `livePlot`, the script of the dashboard's charts, and THEMES, Plotly's templates.
(async () => {
  const [PLAY, STILLS] = [5000, 10]; // milliseconds from the first moment to the last; pictures for who wants less motion
  const part = (id) => document.getElementById(id);
  const [app, at, layer, play, step] = ["app", "at", "layer", "play", "step"].map(part);
  const [calm, night] = ["(prefers-reduced-motion: reduce)", "(prefers-color-scheme: dark)"].map((query) => matchMedia(query));
  const props = { themes: JSON.stringify(THEMES), value: null };
  let [film, feed, frame] = [null, null, 0];

  async function unpacked() {
    const bytes = Uint8Array.from(atob(part("film").textContent), (letter) => letter.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).json();
  }

  // A value with its repeated parts in their places: {"=": 3} stands for the fourth.
  function whole(value) {
    if (Array.isArray(value)) return value.map(whole);
    if (value === null || typeof value !== "object") return value;
    if ("=" in value) return film.parts[value["="]];
    return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, whole(inner)]));
  }

  function show() {
    const [index, charts] = [Number(at.value), { ...film.shared, ...film.layers[layer.selectedIndex]?.charts }];
    const shown = Object.entries(charts).map(([name, values]) => [name, values[index] && JSON.stringify(whole(values[index]))]);
    props.value = JSON.stringify(Object.fromEntries(shown));
    feed();
    step.textContent = `step ${film.steps[index].toLocaleString("en")} of ${film.total.toLocaleString("en")}`;
    at.setAttribute("aria-valuetext", step.textContent);
  }

  function go(index) {
    const next = Math.min(Math.max(index, 0), film.steps.length - 1);
    if (next === Number(at.value)) return;
    at.value = next;
    show();
  }

  function setPlaying(is) {
    cancelAnimationFrame(frame);
    frame = 0;
    part("play-sign").textContent = is ? "❚❚" : "▶";
    part("play-word").textContent = is ? "Pause" : "Play";
    if (is) run(performance.now());
    else part("news").textContent = step.textContent;
  }

  // On from where the slider stands; from the first moment where it stands at the last.
  function run(begun) {
    const last = film.steps.length - 1;
    const from = Number(at.value) === last ? 0 : Number(at.value) / last;
    const move = () => {
      const share = Math.min(1, from + (performance.now() - begun) / PLAY);
      go(Math.round((calm.matches ? Math.floor(share * STILLS) / STILLS : share) * last));
      if (share === 1) setPlaying(false);
      else frame = requestAnimationFrame(move);
    };
    frame = requestAnimationFrame(move);
  }

  const switchTheme = () => document.body.classList.toggle("dark");
  const keys = {
    " ": () => setPlaying(!frame),
    ArrowLeft: () => go(Number(at.value) - 1),
    ArrowRight: () => go(Number(at.value) + 1),
    Home: () => go(0),
    End: () => go(film.steps.length - 1),
    t: switchTheme,
  };

  function listen() {
    at.addEventListener("input", () => {
      if (frame) setPlaying(false);
      show();
    });
    layer.addEventListener("change", show);
    play.addEventListener("click", () => setPlaying(!frame));
    part("theme").addEventListener("click", switchTheme);
    night.addEventListener("change", () => document.body.classList.toggle("dark", night.matches));
    document.addEventListener("keydown", (event) => {
      const isTaken = event.target.closest("input, select, button, summary, [tabindex]");
      if (isTaken || event.ctrlKey || event.altKey || event.metaKey || !keys[event.key]) return;
      event.preventDefault();
      keys[event.key]();
    });
  }

  try {
    film = await unpacked();
  } catch {
    return; // the page says what it needs
  }
  part("ancient").hidden = true;
  app.hidden = false;
  document.body.classList.toggle("dark", night.matches);
  at.max = film.steps.length - 1;
  at.value = at.max;
  play.disabled = at.disabled = film.steps.length < 2;
  layer.append(...film.layers.map(({ name }) => new Option(name)));
  part("layer-of").hidden = film.layers.length < 2;
  livePlot(app, props, (_, heard) => (feed = heard));
  listen();
  show();
})();
