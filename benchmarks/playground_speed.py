"""How fast the playground trains and answers, in a real browser, drawing included.

python benchmarks/playground_speed.py [--seconds 5] [--json]

steps     both arms together at the speed "fastest", 256 → 64, r = 8, depth 4: training steps a second, and pictures
answer    from a control's event until its answer is drawn, while both train: median, p95 and the longest of 100

Needs the requirements of the tests (Playwright) and a Chromium.
"""

import argparse
import json
import os
import runpy
import shutil
import statistics
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright
from serving import ROOT, p95

LINK = "#shape=256x64&lora.rank=8&neat.rank=8&neat.depth=4&speed=max"
CHROMIUMS = ("chromium-headless-shell", "chromium", "google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
COUNT = """(milliseconds) => new Promise((done) => {
  const steps = () => Number(document.getElementById("steps").textContent.replaceAll(",", ""));
  let pictures = 0;
  new MutationObserver(() => pictures++).observe(document.getElementById("steps"), { childList: true });
  const [from, at] = [steps(), performance.now()];
  setTimeout(() => {
    const seconds = (performance.now() - at) / 1000;
    done({ steps: (steps() - from) / seconds, pictures: pictures / seconds });
  }, milliseconds);
})"""
# From a control's event until all pictures of the new training's step 0 are drawn: an observer is called after them.
ANSWER = """async ([id, values]) => {
  const [control, place, times] = [document.getElementById(id), document.getElementById("steps"), []];
  const steps = () => Number(place.textContent.replaceAll(",", ""));
  const drawn = (isAnswer) => new Promise((done) => {
    const observer = new MutationObserver(() => {
      if (!isAnswer()) return;
      observer.disconnect();
      done(performance.now());
    });
    observer.observe(place, { childList: true });
  });
  for (const value of values) {
    await drawn(() => steps() > 3);
    const begin = performance.now();
    control.value = value;
    control.dispatchEvent(new Event(control.tagName === "SELECT" ? "change" : "input", { bubbles: true }));
    times.push((await drawn(() => steps() === 0)) - begin);
  }
  return times;
}"""
MOVES: dict[str, list[Any]] = {
    "set-neat-rank": [4, 8] * 10,
    "set-neat-depth": [2, 4] * 10,
    "set-neat-activation": ["gelu", "relu"] * 10,
    "set-lora-rate": [-2, -1] * 10,
    "set-noise": [0.2, 0.1] * 5,
    "set-kind": ["low-rank", "weight-aware"] * 5,
}


def measure(page: Page, seconds: float) -> dict[str, float]:
    """Train, count, then move every control."""
    page.click("#play")
    page.evaluate(COUNT, 1000)  # compiled by now
    counts = page.evaluate(COUNT, 1000 * seconds)
    times = [time for control, values in MOVES.items() for time in page.evaluate(ANSWER, [control, values])]
    return {
        "steps a second": counts["steps"],
        "pictures a second": counts["pictures"],
        "answer, median ms": statistics.median(times),
        "answer, p95 ms": p95(times),
        "answer, longest ms": max(times),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        path = Path(folder) / "playground.html"
        path.write_text(runpy.run_path(str(ROOT / "scripts" / "playground.py"))["page"](), encoding="utf-8")
        found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, CHROMIUMS)), None)
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 720})
        page.goto(path.as_uri() + LINK)
        figures = {"bytes": path.stat().st_size, **measure(page, given.seconds)}
        browser.close()
    if given.json:
        print(json.dumps(figures))
    else:
        print(*(f"{name:20} {value:,.1f}" for name, value in figures.items()), sep="\n")


if __name__ == "__main__":
    main()
