// The tour's panel: at each stop a guess, something to do, and what it shows. The page and the playground use it alike.
// onStop(number) is called where the reader goes to another stop (0: the tour has ended); bring(section) opens what has its control.
export function makeTour(panel, { onStop, bring }) {
  const KEY = "neatlab-tour"; // guesses stay through a reload of this window
  const [LOOK_AGAIN, PATIENCE] = [100, 100]; // milliseconds between two looks for a control that is not there yet, and looks
  const CORNERS = ["bottom right", "bottom left", "top right", "top left"];
  const mark = document.head.appendChild(document.createElement("style")); // an attribute of the control could be overwritten
  const sections = [...panel.querySelectorAll("[data-stop]")];
  let [shown, isPlacing] = [null, false];

  function guesses() {
    try {
      return JSON.parse(sessionStorage.getItem(KEY)) ?? {};
    } catch {
      return {}; // a browser that stores nothing
    }
  }

  function keep(guess) {
    try {
      sessionStorage.setItem(KEY, JSON.stringify({ ...guesses(), [shown.dataset.stop]: guess }));
    } catch {} // as above
  }

  const isSeen = (node) => node.getClientRects().length > 0;
  const controlOf = (section) => {
    const control = document.getElementById(section.dataset.at);
    return control && isSeen(control) ? control : null;
  };

  // In the first corner where it does not lie over the control.
  function place() {
    isPlacing = false;
    const there = shown && controlOf(shown)?.getBoundingClientRect();
    if (!there) return;
    const covers = (corner) => {
      panel.dataset.corner = corner;
      const here = panel.getBoundingClientRect();
      return here.left < there.right && there.left < here.right && here.top < there.bottom && there.top < here.bottom;
    };
    if (CORNERS.every(covers)) panel.dataset.corner = CORNERS[0];
  }

  function placeSoon() {
    if (!shown || isPlacing) return;
    isPlacing = true;
    requestAnimationFrame(place);
  }

  // Brings the control into view, as soon as there is one.
  function point(section, looks = PATIENCE) {
    if (section !== shown) return;
    const control = controlOf(section);
    if (!control && looks) return setTimeout(() => point(section, looks - 1), LOOK_AGAIN);
    control?.scrollIntoView({ block: innerWidth <= 700 ? "start" : "center" });
    place();
  }

  function say(phase, guess) {
    const { right, shows } = shown.dataset;
    const said = { predict: "", do: `You predicted: ${guess}. ${shown.dataset.do}` };
    said.shown = `You predicted: ${guess}. ${guess === right ? "Right." : `Not so: ${right}.`} ${shows}`;
    shown.dataset.phase = phase;
    shown.querySelector(".tour-said").textContent = said[phase];
    for (const button of shown.querySelectorAll("[data-choice]")) {
      button.setAttribute("aria-pressed", String(button.dataset.choice === guess));
      button.classList.toggle("right", phase === "shown" && button.dataset.choice === right);
    }
    place();
  }

  function show(number) {
    const section = sections[number - 1] ?? null;
    if (section === shown) return;
    shown = section;
    panel.hidden = !section;
    for (const other of sections) other.hidden = other !== section;
    mark.textContent = "";
    if (!section) return;
    mark.textContent = `#${section.dataset.at}:not(:focus-visible) { outline: 3px solid #b45fd6 !important; outline-offset: 1px; }\n#${section.dataset.at} { scroll-margin: 12px; }`;
    panel.querySelector("[data-tour=back]").hidden = number === 1;
    panel.querySelector("[data-tour=next]").textContent = number === sections.length ? "End" : "Next";
    const guess = guesses()[number];
    const isChoice = [...section.querySelectorAll("[data-choice]")].some(({ dataset }) => dataset.choice === guess);
    say(isChoice ? "do" : "predict", guess);
    bring(section);
    point(section);
  }

  function go(number) {
    const next = number > sections.length ? 0 : number;
    show(next);
    onStop(next);
    shown?.querySelector("h2").focus({ preventScroll: true });
  }

  const acts = {
    skip: () => go(0),
    back: () => go(Number(shown.dataset.stop) - 1),
    next: () => go(Number(shown.dataset.stop) + 1),
    reveal() {
      say("shown", shown.querySelector("[aria-pressed=true]").dataset.choice);
      panel.querySelector("[data-tour=next]").focus();
    },
    find() {
      bring(shown);
      point(shown);
      const control = controlOf(shown);
      const kinds = "button, a, input, select, [tabindex]";
      (control?.matches(kinds) ? control : control?.querySelector(kinds))?.focus({ preventScroll: true });
    },
  };
  panel.addEventListener("click", ({ target }) => {
    const { choice, tour } = target.closest("button")?.dataset ?? {};
    if (choice) {
      keep(choice);
      say("do", choice);
    }
    acts[tour]?.();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !shown || event.defaultPrevented) return;
    const takesIt = event.target.closest("input, textarea, select, canvas, .live-figure");
    if (takesIt || [...document.querySelectorAll("dialog, [popover]")].some(isSeen)) return;
    go(0);
  });
  addEventListener("resize", placeSoon);
  addEventListener("scroll", placeSoon, { capture: true, passive: true });
  return { show, go };
}
