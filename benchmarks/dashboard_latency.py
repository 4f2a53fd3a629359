"""How long the dashboard keeps one waiting, seen in a real browser.

python benchmarks/dashboard_latency.py [--rounds 5] [--json]

start     `python app.py` to a page that answers, in turns with an empty Gradio page that imports torch too
click     click on Train to the first point on the chart, base checkpoint in the cache, a new seed each round
windows   two trainings going, one's window behind the other's: from the press on another layer to its redrawn
          spectrum, and redraws of the loss chart a second
seen      the same with both windows drawn, which takes this machine a second browser's work
panels    redraws a second of each of the four panels, with two trainings, the other window behind this
points    redraws of the loss chart a second, in the first and in the last fifth of 3,000 steps an arm
load      transferred to show the page the first time, without and with Plotly; cumulative layout shift from the
          request to a training that is done, and from the page that is ready

Needs the requirements of the tests (Playwright) and a Chromium.
"""

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright
from serving import app, p95, served

EMPTY = """
import sys, gradio as gr, torch
with gr.Blocks(analytics_enabled=False) as demo:
    gr.Markdown("empty")
demo.launch(server_port=int(sys.argv[1]), quiet=True, ssr_mode=False, share=False)
"""
COUNT = """() => {
  const chart = document.querySelector("#learning-chart");
  window.draws = [];
  chart.on("plotly_afterplot", () => window.draws.push([performance.now(), chart.calcdata[0].length]));
}"""
PANELS = """() => {
  window.redraws = { weights: 0, spectrum: 0, learning: 0, answers: 0 };
  for (const name of Object.keys(window.redraws)) {
    const [chart, drawn] = [document.getElementById(`${name}-chart`), () => window.redraws[name]++];
    if (chart.data) chart.on("plotly_afterplot", drawn);
    else new MutationObserver(drawn).observe(chart, { childList: true, subtree: true });
  }
}"""
SHIFTS = """new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shift = (window.shift ?? 0) + entry.value;
}).observe({ type: "layout-shift", buffered: true });"""
# From the press of the button, as the browser heard it, to the spectrum drawn for the layer pressed on.
PRESS = """() => {
  const caption = document.querySelector("#spectrum-caption");
  document.addEventListener("pointerdown", (event) => {
    window.pressed = { at: event.timeStamp, layer: event.target.textContent.replace("✓", "").trim() };
  }, true);
  document.querySelector("#spectrum-chart").on("plotly_afterplot", () => {
    if (caption.textContent.startsWith(window.pressed?.layer)) window.pressed.drawn ??= performance.now();
  });
}"""
# What a browser does with a window that lies behind another: it draws no frame of it.
BEHIND = """() => {
  Object.defineProperty(document, "hidden", { get: () => true });
  window.requestAnimationFrame = () => 0;
}"""
POINTS = "() => document.querySelector('#learning-chart').calcdata?.[0]?.length > 0"
LONG = "?task=teacher:kind=weight-aware&arm=lora:rank=4&arm=neat:rank=4&steps=3000"
CHOICES = 30  # of a layer


def start_times(rounds: int, runs: str) -> dict[str, float]:
    """Medians in turns, and their ratio."""
    seconds: dict[str, list[float]] = {"app": [], "empty": []}
    for _ in range(rounds):
        for name, command in (("empty", (sys.executable, "-c", EMPTY)), ("app", app(runs))):
            with served(*command) as server:
                seconds[name].append(server.seconds)
    medians = {name: statistics.median(found) for name, found in seconds.items()}
    return {"ratio": medians["app"] / medians["empty"], "app_s": medians["app"], "empty_s": medians["empty"]}


def open_page(browser: Browser, url: str) -> Page:
    page = browser.new_page()
    page.goto(url)
    page.wait_for_selector("#train:not([disabled])")
    page.wait_for_function("() => window.Plotly")
    return page


def click_times(browser: Browser, url: str, rounds: int) -> dict[str, float]:
    """Seconds from click to first point; one round before the first fills the cache."""
    seconds = []
    for seed in range(rounds + 1):
        page = open_page(browser, f"{url}?seed={seed}&steps=40")
        begin = time.perf_counter()
        page.click("#train")
        page.wait_for_function(POINTS, polling=10)
        seconds.append(time.perf_counter() - begin)
        page.wait_for_selector("#status:has-text('Done.')")
        page.close()
    return {"median_s": statistics.median(seconds[1:]), "worst_s": max(seconds[1:])}


def layer_times(browser: Browser, url: str, seeds: tuple[int, int], behind: bool) -> dict[str, Any]:
    """Two trainings of digits: seconds from choosing a layer to its spectrum, and redraws of the loss a second."""
    page, other = (open_page(browser, f"{url}?steps=3000&seed={seed}") for seed in seeds)
    for one in (page, other):
        one.click("#train")
        one.wait_for_function(POINTS)
    if behind:
        other.evaluate(BEHIND)
    page.evaluate(COUNT)
    page.evaluate(PRESS)
    begin, seconds = time.perf_counter(), []
    for number in range(CHOICES):
        seconds.append(choose(page, f"vit.layers.{(number + 1) % 4}.attention.{'vq'[number % 2]}_proj"))
        time.sleep(0.2)
    rate = len(page.evaluate("window.draws")) / (time.perf_counter() - begin)
    for one in (page, other):
        one.dispatch_event("#stop", "click")
        one.wait_for_selector("#status:has-text('Stopped')")
        one.close()
    return {"layer_p95_s": p95(seconds), "layer_median_s": statistics.median(seconds), "updates_per_s": rate}


def panel_rates(browser: Browser, url: str, seeds: tuple[int, int], seconds: float = 15.0) -> dict[str, float]:
    """Redraws of each panel a second while two windows train, the other one behind this."""
    page, other = (open_page(browser, f"{url}?steps=3000&seed={seed}") for seed in seeds)
    for one in (page, other):
        one.click("#train")
        one.wait_for_function(POINTS)
    other.evaluate(BEHIND)
    page.wait_for_selector("#answers .live-html")
    page.evaluate(PANELS)
    begin = time.perf_counter()
    time.sleep(seconds)
    counts = page.evaluate("window.redraws")
    rates = {f"{name}_per_s": count / (time.perf_counter() - begin) for name, count in counts.items()}
    for one in (page, other):
        one.dispatch_event("#stop", "click")
        one.wait_for_selector("#status:has-text('Stopped')")
        one.close()
    return rates


def load_cost(browser: Browser, url: str) -> dict[str, float]:
    """Megabytes transferred for the first look, and the layout shift until a training is done."""
    context = browser.new_context(viewport={"width": 1280, "height": 720})
    page, sizes, urls = context.new_page(), {}, {}
    network = context.new_cdp_session(page)
    network.on("Network.responseReceived", lambda event: urls.update({event["requestId"]: event["response"]["url"]}))
    network.on("Network.loadingFinished", lambda event: sizes.update({event["requestId"]: event["encodedDataLength"]}))
    network.send("Network.enable")
    page.add_init_script(SHIFTS)
    page.goto(f"{url}?seed=1007&steps=40")
    page.wait_for_selector("#train:not([disabled])")
    page.wait_for_function("() => window.Plotly")
    loaded = page.evaluate("window.shift ?? 0")
    plotly = sum(size for name, size in sizes.items() if "plotly" in urls.get(name, ""))
    page.click("#train")
    page.wait_for_selector("#status:has-text('Done.')")
    shift = page.evaluate("window.shift ?? 0")
    context.close()
    whole = sum(sizes.values()) / 1e6
    return {"mb": whole - plotly / 1e6, "with_plotly_mb": whole, "shift": shift, "shift_when_ready": shift - loaded}


def choose(page: Page, layer: str) -> float:
    page.click("#layer input")
    option = page.get_by_role("option", name=layer)
    option.wait_for()
    option.click()
    page.wait_for_function("window.pressed.drawn", polling=20)
    return float(page.evaluate("window.pressed.drawn - window.pressed.at")) / 1000


def long_run(browser: Browser, url: str) -> dict[str, float]:
    """Redraws a second in the first and in the last fifth of 3,000 steps."""
    page = open_page(browser, url + LONG)
    page.click("#train")
    page.wait_for_function(POINTS)
    page.evaluate(COUNT)
    page.wait_for_selector("#status:has-text('Done.')", timeout=600_000)
    times = [at / 1000 for at, _ in page.evaluate("window.draws")]
    page.close()
    fifth = (times[-1] - times[0]) / 5
    early = sum(at < times[0] + fifth for at in times) / fifth
    late = sum(at > times[-1] - fifth for at in times) / fifth
    return {"first_per_s": early, "last_per_s": late}


def chromium() -> str | None:
    names = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)


def measure(rounds: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as runs, sync_playwright() as playwright:
        found: dict[str, Any] = {"start": start_times(rounds, runs)}
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"])
        with served(*app(runs)) as server:
            url = server.url
            found["click"] = click_times(browser, url, rounds)
            found["two windows"] = layer_times(browser, url, (1001, 1002), behind=True)
            found["both seen"] = layer_times(browser, url, (1003, 1004), behind=False)
            found["panels"] = panel_rates(browser, url, (1005, 1006))
            found["load"] = load_cost(browser, url)
            found["3,000 points"] = long_run(browser, url)
        browser.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = measure(arguments.rounds)
    if arguments.json:
        print(json.dumps(found, indent=2))
        return
    for name, values in found.items():
        print(f"{name:14}", "  ".join(f"{key} {value:.3g}" for key, value in values.items()))


if __name__ == "__main__":
    main()
