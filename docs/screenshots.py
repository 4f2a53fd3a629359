"""Pictures of every tab, of the playground and of a replay: `python docs/screenshots.py`.

Both themes, wide and narrow, as docs/<tab>-<theme>-<width>.png; of `playground`, `replay` or `tabs` as arguments alone.

It needs what the tests need: Playwright and a Chromium (scripts/chromium.sh).
"""

import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

import neatlab
from neatlab.config import make_run, parse_arm
from neatlab.experiments.execute import execute
from neatlab.runs.store import Store

HERE = Path(__file__).parent
PORT = 7871
THEMES = ("light", "dark")
SIZES = {1280: 900, 390: 844}
ONE_SCREEN = {1280: 720, 390: 844}  # pixels
LATER = re.compile(r"1[2-9]\d")  # steps
TALLEST = 5200  # pixels; the rest of a longer tab is left out
LARGEST = 250_000  # bytes a file
PATIENCE = 300_000  # milliseconds for a training
DRAWING = 4_000  # milliseconds for a tab that is there to fill itself
SEEDS = (0, 1, 2)
TRAINED = "?task=digits&steps=150&arm=lora:rank=4&arm=neat:rank=4,depth=2"
ARMS = ("lora:rank=4", "neat:rank=4,depth=2,orientation=auto")
REPLAYED = {"kind": "weight-aware"}  # options of the task teacher
SWEPT = "?ablate_steps=60"
CHROMIUMS = ("chromium-headless-shell", "chromium", "google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]


def main() -> None:
    """Take the pictures."""
    with sync_playwright() as playwright:
        found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, CHROMIUMS)), None)
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        takers = {"playground": take_playground, "replay": take_replay, "tabs": take_tabs}
        for name in sys.argv[1:] or takers:
            takers[name](browser)


def take_tabs(browser: Browser) -> None:
    """Train three seeds and a small sweep, then take the pictures of every tab."""
    with tempfile.TemporaryDirectory() as runs, served(runs) as url:
        page = browser.new_page()
        for seed in reversed(SEEDS):
            train(page, f"{url}{TRAINED}&seed={seed}")
        stored = [path.parent.name for path in Path(runs).glob("*/summary.json")]
        names = tabs(page)
        links = {**dict.fromkeys(names, f"{TRAINED}&seed={SEEDS[0]}"), "ablate": SWEPT}
        links |= {"runs": "?" + "&".join(f"run={run}" for run in stored), "inspect": f"?inspect={stored[0]}"}
        if "ablate" in names:
            sweep(page, url)
        for theme in THEMES:
            for width in SIZES:
                for name in names:
                    take(browser, f"{url}{links[name]}&tab={name}", name, theme, width)


@contextmanager
def served(runs: str) -> Iterator[str]:
    """The app on a fresh runs folder."""
    command = [sys.executable, "app.py", "--port", str(PORT), "--runs", runs]
    process = subprocess.Popen(command, cwd=HERE.parent, stdout=subprocess.PIPE, text=True)  # noqa: S603
    try:
        print((process.stdout or sys.stdin).readline().strip())
        yield f"http://127.0.0.1:{PORT}/"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def train(page: Page, link: str) -> None:
    """Open a link and train what it says."""
    page.goto(link)
    expect(page.locator("#train")).to_be_enabled(timeout=PATIENCE)
    page.click("#train")
    expect(page.locator("#status")).to_contain_text("Done.", timeout=PATIENCE)


def sweep(page: Page, url: str) -> None:
    """A small ablation, started from its tab."""
    page.goto(f"{url}{SWEPT}&tab=ablate")
    expect(page.locator("#ablate-start")).to_be_enabled(timeout=PATIENCE)
    page.click("#ablate-start")
    expect(page.locator("#ablate-status")).to_contain_text("All runs are there", timeout=4 * PATIENCE)


def tabs(page: Page) -> list[str]:
    """Names of the page's tabs, as links have them."""
    ids = page.locator("#tabs [role=tab]").evaluate_all("all => [...new Set(all.map(tab => tab.id))]")
    return [str(name).removeprefix("tab-").removesuffix("-button") for name in ids if str(name).startswith("tab-")]


def take(browser: Browser, link: str, name: str, theme: str, width: int) -> None:
    """One picture."""
    page = browser.new_page(viewport={"width": width, "height": SIZES[width]}, color_scheme=theme)  # type: ignore[arg-type]
    page.goto(f"{link}&__theme={theme}")
    expect(page.locator(f"#tab-{name}")).to_be_visible(timeout=PATIENCE)
    if name == "train":
        expect(page.locator("#status")).to_contain_text("Done.", timeout=PATIENCE)
    if name == "inspect":
        expect(page.locator("#inspect-table table")).to_be_visible(timeout=PATIENCE)
    page.wait_for_timeout(DRAWING)
    store(page, name, theme, width)


def take_playground(browser: Browser) -> None:
    """The playground after a hundred steps and more, a direction lit up in the dark."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "playground.html"
        path.write_text(runpy.run_path(str(HERE.parent / "scripts" / "playground.py"))["page"](), encoding="utf-8")
        for theme in THEMES:
            for width in SIZES:
                page = browser.new_page(viewport={"width": width, "height": ONE_SCREEN[width]}, color_scheme=theme)  # type: ignore[arg-type]
                page.goto(path.as_uri())
                page.click("#play")
                expect(page.locator("#steps")).to_have_text(LATER, timeout=PATIENCE)
                page.click("#play")
                if theme == "dark":
                    page.press("#spectrum", "ArrowRight")
                page.wait_for_timeout(DRAWING / 10)
                store(page, "playground", theme, width, is_whole=False)


def take_replay(browser: Browser) -> None:
    """A replay of two arms on the task teacher, in the midst of it."""
    with tempfile.TemporaryDirectory() as folder:
        runs = Store(Path(folder) / "runs")
        configs = [make_run("teacher", parse_arm(arm), 0, REPLAYED, {"steps": 150, "eval_every": 5}) for arm in ARMS]
        for config in configs:
            list(execute(config, runs, is_film=True))
        path = neatlab.replay([runs.get(config.run_id) for config in configs], Path(folder) / "replay.html").path
        for theme in THEMES:
            for width in ONE_SCREEN:
                page = browser.new_page(viewport={"width": width, "height": ONE_SCREEN[width]}, color_scheme=theme)  # type: ignore[arg-type]
                page.goto(path.as_uri())
                page.locator("#at").fill("20")
                page.wait_for_timeout(DRAWING / 4)
                store(page, "replay", theme, width, is_whole=False)


def store(page: Page, name: str, theme: str, width: int, is_whole: bool = True) -> None:
    """Write the picture of a page, and close it."""
    picture = Image.open(BytesIO(page.screenshot(full_page=is_whole)))
    seen = picture.crop((0, 0, picture.width, min(picture.height, TALLEST)))
    path = HERE / f"{name}-{theme}-{width}.png"
    print(path.relative_to(HERE.parent), save(seen, path), "bytes")
    page.close()


def save(picture: Image.Image, path: Path) -> int:
    """Write it with as many colours as fit into LARGEST bytes; returns the bytes."""
    for colours in (256, 128, 64, 32):
        picture.convert("RGB").quantize(colours, dither=Image.Dither.NONE).save(path, optimize=True)
        if path.stat().st_size < LARGEST:
            break
    return path.stat().st_size


if __name__ == "__main__":
    main()
