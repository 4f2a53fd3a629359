// The page: settings in, a training in the worker, pictures out.
import { listPresets, makeCards } from "./cards.js";
import { makeControls, showSettings } from "./controls.js";
import { makeHistory } from "./curves.js";
import { listenToKeys } from "./keys.js";
import { makeLab } from "./lab.js";
import { presetSettings } from "./presets.js";
import { hashOf, matchedRank, pageOf, readHash, trainingOf, trainsAlike } from "./settings.js";
import { listenToSharing, showPart } from "./sharing.js";
import { movedDirection, nearestDirection } from "./spectrum_chart.js";
import { makeTour } from "./tour.js";
import { draw, fit, showTheme } from "./view.js";
import { byId, frameWords } from "./words.js";

const [SLICE, FASTEST, CALM, NEWS, MAX_STEPS] = [6, 1e6, 500, 5000, 100_000]; // SLICE, CALM and NEWS in milliseconds
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const dark = matchMedia("(prefers-color-scheme: dark)");

// What the page shows. `chosen` is the direction that is lit up, `pinned` the one that stays when the pointer goes.
const state = { settings: null, isPlaying: false, task: null, frame: null, history: null, chosen: null, pinned: null };
let [owed, lastTick, isStale, drawnAt, saidAt] = [0, 0, false, 0, 0];
let [singleSteps, isPausing] = [0, false]; // pressed for and not done; what is under way at a press ends first
let [lab, cards, tour] = [null, null, null];

function say(text) {
  byId("message").textContent = text;
  byId("message").hidden = !text;
}

function play(isPlaying) {
  isPausing = !isPlaying && (isPausing || state.isPlaying);
  singleSteps = 0;
  state.isPlaying = isPlaying;
  if (isPlaying) byId("news").textContent = "";
  [owed, isStale] = [0, true];
  byId("play-word").textContent = isPlaying ? "Pause" : "Play";
  byId("play").classList.toggle("playing", isPlaying);
  byId("play").querySelector(".sign").textContent = isPlaying ? "⏸" : "▶";
}

function restart() {
  singleSteps = 0;
  state.history = makeHistory();
  lab.start(trainingOf(state.settings));
}

// Settings become these: the form, the link, the theme, and a new training where it is another one.
function apply(settings) {
  const before = state.settings;
  state.settings = settings;
  showSettings(settings);
  showPart(settings);
  tour.show(settings.tour);
  showTheme(settings.theme === "auto" ? (dark.matches ? "dark" : "light") : settings.theme);
  if (location.hash !== hashOf(settings)) history.replaceState(null, "", hashOf(settings) || location.href.split("#")[0]);
  isStale = true;
  if (!before || !trainsAlike(before, settings)) restart();
  else if (before.embed !== settings.embed && state.frame) fit(state);
}

function change(changes) {
  const settings = { ...state.settings, ...changes };
  say("");
  byId("link-field").hidden = true;
  if (!trainsAlike(state.settings, settings)) {
    cards.leave();
    byId("preset").value = "";
  }
  apply(settings);
}

function openLink() {
  const { settings, problems } = readHash(location.hash);
  cards.leave();
  apply(settings);
  say(problems.length ? `This link is not all understood. ${problems.slice(0, 3).join(" ")}` : "");
}

function openPreset(name) {
  apply({ ...presetSettings(name), ...pageOf(state.settings) });
  byId("preset").value = name;
  say("");
}

const stoppedArms = (frame) => Object.values(frame?.arms ?? {}).filter((arm) => arm.stopped).length;

function onFrame(frame) {
  const [isNew, stoppedBefore] = [Boolean(frame.task), stoppedArms(state.frame)];
  if (isNew) state.task = frame.task;
  state.frame = frame;
  state.history.add(frame);
  isStale = true;
  if (isNew) fit(state);
  if (cards.see(frame) || frame.step >= MAX_STEPS || stoppedArms(frame) === Object.keys(frame.arms).length) play(false);
  if (stoppedArms(frame) > stoppedBefore) byId("news").textContent = frameWords(frame);
}

function train(now) {
  const { speed } = state.settings;
  owed += speed === "max" ? FASTEST : (Math.min(now - lastTick, 250) / 1000) * Number(speed);
  if (owed >= 1 && lab.advance(Math.floor(Math.min(owed, FASTEST)), SLICE)) owed = speed === "max" ? 0 : owed % 1;
}

// "Paused." is said of the frame that stays.
function pause() {
  if (singleSteps) singleSteps -= Number(lab.advance(1, Infinity));
  else if (isPausing && !lab.isWaiting()) {
    byId("news").textContent = `Paused. ${frameWords(state.frame)}`;
    isPausing = false;
  }
}

// Each frame of the screen: some steps are asked for, and what has come is drawn.
function tick(now) {
  if (!state.isPlaying) pause();
  else if (state.frame) train(now);
  lastTick = now;
  const isDue = !calm.matches || !state.isPlaying || now - drawnAt > CALM;
  if (isStale && state.frame && isDue) {
    draw(state);
    [isStale, drawnAt] = [false, now];
  }
  if (state.isPlaying && state.frame && now - saidAt > NEWS) {
    byId("news").textContent = frameWords(state.frame);
    saidAt = now;
  }
  requestAnimationFrame(tick);
}

function choose(direction, pin = false) {
  state.chosen = direction;
  if (pin) state.pinned = direction;
  isStale = true;
}

function listenToSpectrum() {
  const canvas = byId("spectrum");
  canvas.addEventListener("pointermove", (event) => choose(nearestDirection(event)));
  canvas.addEventListener("pointerleave", () => choose(state.pinned));
  canvas.addEventListener("click", (event) => {
    const there = nearestDirection(event);
    const isPinned = there && state.pinned && there.series === state.pinned.series && there.index === state.pinned.index;
    choose(isPinned ? null : there, true);
  });
  canvas.addEventListener("keydown", (event) => {
    if (!state.frame || !/^(Arrow(Left|Right|Up|Down)|Escape)$/.test(event.key)) return;
    event.preventDefault();
    choose(movedDirection(state, state.pinned, event.key), true);
  });
}

function listen() {
  const on = (id, action) => byId(id).addEventListener("click", action);
  on("play", () => play(!state.isPlaying));
  on("step", () => {
    const pressed = singleSteps + 1;
    play(false);
    singleSteps = pressed;
  });
  on("reset", () => {
    play(false);
    cards.leave();
    restart();
  });
  on("theme", () => apply({ ...state.settings, theme: document.documentElement.dataset.theme === "dark" ? "light" : "dark" }));
  on("match", () => change({ "neat.rank": matchedRank(state.settings) }));
  dark.addEventListener("change", () => apply(state.settings));
  addEventListener("hashchange", openLink);
  addEventListener("resize", () => {
    if (state.frame) fit(state);
    isStale = true;
  });
  byId("numbers").addEventListener("toggle", () => (isStale = true));
  on("show-tour", () => tour.go(1));
  on("tour", ({ target }) => {
    if (!target.dataset.openPreset) return;
    play(false);
    cards.leave();
    openPreset(target.dataset.openPreset);
    restart();
  });
  listenToSpectrum();
  listenToSharing(() => state.settings);
  listenToKeys();
}

function begin() {
  if (!window.Worker || !window.Blob || !Object.hasOwn || !window.HTMLDialogElement) return; // the sentence for them stays
  byId("ancient").remove();
  byId("app").hidden = false;
  lab = makeLab(onFrame, (text) => say(`The training has failed: ${text}. Reload the page.`));
  makeControls((name, value) => change({ [name]: value }));
  listPresets(byId("preset"), (name) => {
    cards.leave();
    openPreset(name);
    play(true);
  });
  cards = makeCards(({ preset }) => {
    openPreset(preset);
    restart();
    play(true);
  });
  tour = makeTour(byId("tour"), {
    onStop(stop) {
      change({ tour: stop });
      if (!stop) byId("show-tour").focus();
    },
    bring() {}, // all of it is on one page
  });
  listen();
  openLink();
  requestAnimationFrame(tick);
}

begin();
