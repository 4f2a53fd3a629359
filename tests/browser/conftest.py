"""The real app in a process of its own, and a Chromium to look at it."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest
from playwright.sync_api import Page, expect

ROOT = Path(__file__).parents[2]
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
]
START = 60.0  # seconds for the imports
expect.set_options(timeout=20_000)  # milliseconds; a busy machine is slow, not wrong
TRAINED = 60_000  # milliseconds for a short training, the base checkpoint's included


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """A Chromium of the system, else Playwright's own; without either the tests fail."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, CHROMIUMS)), None)
    return {**browser_type_launch_args, "args": QUIET, **({"executable_path": found} if found else {})}


class App(NamedTuple):
    """A running app."""

    url: str
    runs: Path

    def folders(self, seed: int) -> dict[str, Path]:
        """Method → run directory, of the runs with this seed."""
        found = {}
        for path in self.runs.glob("*/config.json"):
            run = orjson.loads(path.read_bytes())["run"]
            if run["seed"] == seed:
                found[run["arm"]["method"]] = path.parent
        return found

    def events(self, seed: int) -> dict[str, list[dict[str, Any]]]:
        """Method → events so far; a torn last line is left out."""
        lines = {m: (p / "events.jsonl").read_bytes().split(b"\n")[:-1] for m, p in self.folders(seed).items()}
        return {method: [orjson.loads(line) for line in own] for method, own in lines.items()}

    def steps(self, seed: int) -> Counter[str]:
        """Method → training steps so far."""
        return Counter({m: sum(e["type"] == "Step" for e in own) for m, own in self.events(seed).items()})

    def wait_for_steps(self, seed: int, count: int, seconds: float = 60) -> None:
        """Wait until both arms have done `count` steps."""
        until = time.monotonic() + seconds
        while len(steps := self.steps(seed)) < 2 or min(steps.values()) < count:
            assert time.monotonic() < until, f"{steps} after {seconds} s"
            time.sleep(0.05)


@pytest.fixture(scope="session")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    runs, log = tmp_path_factory.mktemp("runs"), tmp_path_factory.mktemp("log") / "app.log"
    port = free_port()
    command = [sys.executable, "app.py", "--port", str(port), "--runs", str(runs)]
    with open(log, "wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
    try:
        url = f"http://127.0.0.1:{port}/"
        _wait_for_line(process, log, url)
        yield App(url, runs)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)
    assert "Traceback" not in log.read_text(), log.read_text()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _wait_for_line(process: subprocess.Popen[bytes], log: Path, url: str) -> None:
    until = time.monotonic() + START
    while url not in log.read_text():
        assert process.poll() is None and time.monotonic() < until, log.read_text()
        time.sleep(0.1)


def open_page(page: Page, app: App) -> Page:
    """The page, ready to be used."""
    page.goto(app.url)
    expect(page.locator("#train")).to_be_enabled()
    expect(page.locator("#status")).to_contain_text("press Train")
    return page


def fill(page: Page, **values: object) -> None:
    """Type into fields by their ids; "b_depth" is #b-depth."""
    for name, value in values.items():
        field = page.locator(f"#{name.replace('_', '-')}").locator("input, textarea").first
        field.fill(str(value))
        field.blur()


def train(page: Page, app: App, **values: object) -> None:
    """Open the page, fill its fields and press Train."""
    open_page(page, app)
    fill(page, **values)
    page.click("#train")
