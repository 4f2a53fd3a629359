"""The real app in a process of its own, and a Chromium to look at it."""

import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import orjson
import pytest
from gradio_client import Client  # type: ignore[import-untyped]
from playwright.sync_api import Browser, BrowserContext, Locator, Page, Request, expect

from neatlab.runs.run import Run
from neatlab.runs.store import Store
from tests import chromium
from tests.dashboard_runs import four_runs

ROOT = Path(__file__).parents[2]
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
    "--host-resolver-rules=MAP rebound.example 127.0.0.1",  # a name whose owner points it at this machine
    "--process-per-site",  # the windows of a context share a process, which compiles the page's scripts once
]
PORTS = range(20_000, 32_000)
START = 150.0  # seconds for the imports
PATIENCE = 120_000  # milliseconds; a busy machine is slow, not wrong
expect.set_options(timeout=PATIENCE)
# A page's timers end in the order of their times: the link of what was typed is asked for before this one ends.
DRAWN = "new Promise(drawn => setTimeout(() => requestAnimationFrame(() => requestAnimationFrame(drawn)), 100))"
PATIENT_LOOKS = 100  # before an open stream is looked into
SWEPT = 400  # seconds for a sweep, its workers' start included, on a machine that is busy otherwise
TRAINED = 150_000  # milliseconds for a short training, the base checkpoint's included


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """A Chromium of the system, else Playwright's own; without either the tests fail."""
    return {**browser_type_launch_args, "args": QUIET, **chromium.executable()}


@pytest.fixture(scope="session")
def windows(browser: Browser) -> Iterator[BrowserContext]:
    """Where the tests' windows are opened; an empty one stays, so that their process stays too."""
    context = browser.new_context()
    empty = context.new_page()
    empty.route("**", lambda route: route.fulfill(body=""))
    empty.goto("http://127.0.0.1/")
    yield context
    context.close()


@pytest.fixture
def page(windows: BrowserContext) -> Iterator[Page]:
    """A new window; afterwards it is gone, and what a test allowed or stored."""
    window = windows.new_page()
    window.set_default_timeout(PATIENCE)
    yield window
    window.close()
    windows.set_offline(False)
    windows.clear_permissions()
    windows.clear_cookies()


@pytest.fixture(scope="module")
def same_page(windows: BrowserContext) -> Iterator[Page]:
    """One window for the tests of a file that leave the page as the next can use it: to load it takes seconds."""
    window = windows.new_page()
    window.set_default_timeout(PATIENCE)
    yield window
    window.close()


@pytest.fixture
def under_way(page: Page) -> set[Request]:
    """The window's requests that are not answered yet."""
    return unanswered(page)


def unanswered(page: Page) -> set[Request]:
    """A window's requests that are not answered yet, from now on; but for its heartbeat, which never is."""
    requests: set[Request] = set()
    page.on("request", lambda request: None if "/heartbeat/" in request.url else requests.add(request))
    page.on("requestfinished", lambda request: requests.discard(request))
    page.on("requestfailed", lambda request: requests.discard(request))
    return requests


def settle(page: Page, under_way: set[Request]) -> None:
    """Wait until the window has had every answer and drawn it: nothing more comes by itself."""
    looks = count()

    def answered() -> bool:
        return not under_way or (next(looks) > PATIENT_LOOKS and are_idle(under_way))

    def settled() -> bool:
        before = answered()
        page.evaluate(DRAWN)
        return before and answered()

    wait_until(settled)


def are_idle(under_way: set[Request]) -> bool:
    """Whether nothing is open but streams, while the server has no job whose news they could bring.

    Where a window had two streams for a moment, Gradio closes the one that has brought the last answer, and leaves the
    other open until the next.
    """
    urls = [request.url for request in list(under_way)]
    if not all("/queue/data" in url for url in urls):
        return False
    return not urls or not jobs_of(urls[0].partition("gradio_api/")[0])


def jobs_of(url: str) -> list[dict[str, str]]:
    """The jobs of an app that have not ended."""
    answer = httpx.post(f"{url}gradio_api/run/list", json={"data": []}, timeout=90).raise_for_status()
    return list(answer.json()["data"][0]["jobs"])


class App(NamedTuple):
    """A running app."""

    url: str
    runs: Path
    pid: int

    @property
    def models(self) -> Path:
        """Where its visitors may open models."""
        return self.runs.parent / "models"

    def stored(self, seed: int) -> dict[str, Run]:
        """Label of the arm → run, of the runs with this seed."""
        return {run.config.arm.label: run for run in Store(self.runs).runs() if run.config.seed == seed}

    def steps(self, seed: int) -> Counter[str]:
        """Label of the arm → training steps so far."""
        return Counter(
            {label: sum(e["type"] == "Step" for e in run.events) for label, run in self.stored(seed).items()}
        )

    def wait_for_steps(self, seed: int, count: int, arms: int = 2) -> None:
        """Wait until every arm has done `count` steps."""
        wait_until(lambda: len(steps := self.steps(seed)) == arms and min(steps.values()) >= count)

    def client(self) -> Client:
        """Its API."""
        return client(self.url)


def client(url: str, **options: Any) -> Client:
    """The API of an app, which is waited for as long as everything else."""
    return Client(url, verbose=False, analytics_enabled=False, httpx_kwargs={"timeout": 90}, **options)


def wait_until(true: Callable[[], Any], seconds: float = 150, every: float = 0.05) -> None:
    """Wait for something that no page shows; a question that costs the server much is asked less often."""
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, f"not so after {seconds} s"
        time.sleep(every)


LESSON = {
    "title": "Which <b>rank</b>?",
    "text": "Look at the spectrum. <script>window.pwned = 1</script>",
    "link": "?task=digits&arm=lora:rank=2&arm=neat:rank=6,lr=0.01&steps=7&hide=presets&hide=settings&hide=more",
}
LESSONS = ("another", "rank")


@pytest.fixture(scope="session")
def common_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """The app of most tests: to start one takes seconds."""
    folder = tmp_path_factory.mktemp("app")
    for name in ("models", "lessons"):
        (folder / name).mkdir()
    for name in LESSONS:
        lesson = {**LESSON, "title": f"{LESSON['title']} {name}"}
        (folder / "lessons" / f"{name}.json").write_bytes(orjson.dumps(lesson))
    options = ("--trainings", "4", "--inspect-root", folder / "models", "--lessons", folder / "lessons")
    with serve(folder, "--shared-runs", *map(str, options)) as served:
        yield served


@pytest.fixture(scope="module")
def app(common_app: App) -> Iterator[App]:
    """The app, for the tests of a file: each trains on seeds of its own, and no other file finds their runs."""
    yield common_app
    for run in common_app.runs.glob("?" * 12):
        shutil.rmtree(run)


@pytest.fixture(scope="session")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """An app whose runs folder holds two arms on two seeds, and which opens no other folders."""
    folder = tmp_path_factory.mktemp("stored")
    four_runs(folder / "runs")
    with serve(folder, "--shared-runs") as served:
        yield served


@contextmanager
def serve(folder: Path, *options: str, script: str = "app.py", **environment: str) -> Iterator[App]:
    """The script with these options, until the block ends; then its log must hold no traceback."""
    runs, log, port = folder / "runs", folder / "app.log", free_port()
    command = [sys.executable, script, "--port", str(port), "--runs", str(runs), *options]
    with open(log, "wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **environment}
        )
    try:
        wait_until(lambda: process.poll() is not None or "neatlab is at" in log.read_text(), START)
        assert process.poll() is None, log.read_text()
        yield App(f"http://127.0.0.1:{port}/", runs, process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=120)
    assert "Traceback" not in log.read_text(), log.read_text()
    assert not list(Path(tempfile.gettempdir()).glob(f"neatlab-server-{process.pid}-*"))


def free_port() -> int:
    """A port that nobody has, below those that the system gives to whoever connects: it stays free until it is used."""
    while True:
        port = secrets.choice(PORTS)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


@pytest.fixture(autouse=True)
def nothing_left_over(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test's trainings end with it: those of the next find the machine to themselves."""
    yield
    if "app" in request.fixturenames:
        stop_all(request.getfixturevalue("app"))


def stop_all(app: App) -> None:
    with httpx.Client(base_url=f"{app.url}gradio_api/run/", timeout=90) as http:
        if going := jobs_of(app.url):
            for job in going:
                http.post("stop", json={"data": [job["job"]]})  # refused where it has just ended
            wait_until(lambda: not jobs_of(app.url))


def open_page(page: Page, app: App, query: str = "") -> Page:
    """The page, ready to be used."""
    page.goto(app.url + query)
    expect(page.locator("#train")).to_be_enabled()
    shows(page.locator("#status"), "press Train")
    return page


def unfold(page: Page, button: str) -> None:
    """Open what is closed, as a person does, who sees it open before the first key: Gradio fills it once more then."""
    page.click(button)
    page.evaluate(DRAWN)


def fill(page: Page, **values: object) -> None:
    """Type into fields by their ids; "b_depth" is #b-depth."""
    for name, value in values.items():
        field = page.locator(f"#{name.replace('_', '-')}").locator("input, textarea").first
        field.fill(str(value))
        field.blur()


def choose(page: Page, field: str, option: str) -> None:
    """Pick from a list by its id, and wait until the list has closed: the next may have an option of the same name."""
    page.click(f"#{field} input")
    page.get_by_role("option", name=option, exact=True).click()
    expect(page.get_by_role("option")).to_have_count(0)


def train(page: Page, app: App, query: str = "", **values: object) -> None:
    """Open the page, fill its fields and press Train."""
    open_page(page, app, query)
    fill(page, **values)
    page.click("#train")


def shows(part: Locator, text: str | re.Pattern[str], timeout: float = PATIENCE, *, exact: bool = False) -> None:
    """Wait until people can read this in a part of the page: text that CSS hides does not count.

    Args:
        part: One element.
        text: What it shows.
        timeout: Milliseconds.
        exact: Whether it shows nothing else.
    """
    expect(part).to_be_visible(timeout=timeout)
    check = expect(part).to_have_text if exact else expect(part).to_contain_text
    check(text, timeout=timeout, use_inner_text=True)


def says(page: Page, text: str | re.Pattern[str]) -> None:
    """Wait until the status says so."""
    shows(page.locator("#status"), text, TRAINED)


def chart(page: Page, name: str, script: str) -> Any:
    """What a chart shows: `script` is a function of its node."""
    return page.eval_on_selector(f"#{name}-chart", script)
