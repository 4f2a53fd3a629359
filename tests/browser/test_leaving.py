"""Windows that close without goodbye: their trainings end, no other's does, and nothing stays behind."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import httpx
import orjson
import psutil
import pytest
from gradio_client import Client  # type: ignore[import-untyped]
from playwright.sync_api import BrowserContext, Page, Request

from neatlab.runs.store import Store
from tests.browser.conftest import App, fill, open_page, says, settle, stop_all, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]  # it waits for those who left to be missed
STEPS, SEED = 2987, 4_000_000_000  # numbers that stand nowhere else in what a page sends
TASK, QUICK = "digits", "teacher:kind=low-rank"
SHORT, LONG = 6, 6


class Window(ExitStack):
    """A window without a browser: it sends what a window sent, under a session of its own, and listens as one does."""

    def __init__(
        self, app: App, sent: list[dict[str, Any]], name: str, steps: int, seed: int, task: str = TASK
    ) -> None:
        super().__init__()
        http = self.enter_context(httpx.Client(base_url=f"{app.url}gradio_api", timeout=90))
        self.enter_context(http.stream("GET", f"/heartbeat/{name}"))
        swapped = {STEPS: steps, SEED: seed, TASK: task}
        begin, follow = [
            {
                **body,
                "session_hash": name,
                "data": [swapped.get(v, v) if isinstance(v, int | str) else v for v in body["data"]],
            }
            for body in sent
        ]
        http.post("/run/predict", json=begin).raise_for_status()
        http.post("/queue/join", json=follow).raise_for_status()
        self._updates = self.enter_context(http.stream("GET", f"/queue/data?session_hash={name}")).iter_lines()

    def hears(self, text: str) -> None:
        """Wait until an update says so."""
        assert any(text in line for line in self._updates), f"the updates ended without {text!r}"


def test_who_leaves_without_goodbye_leaves_nothing_behind(
    page: Page, under_way: set[Request], new_context: Callable[..., BrowserContext], app: App
) -> None:
    stop_all(app)
    open_page(page, app)
    fill(page, steps=STEPS, seed=SEED)
    page.wait_for_url(f"**seed={SEED}*")
    settle(page, under_way)  # what else it sends for the new numbers is sent
    train_pressed, step_pressed = what_a_page_sends(page, "train"), what_a_page_sends(page, "step")
    page.close()
    before, ids = memory(app), processes(app)
    lab = app.client()
    already = {run["run"] for run in lab.predict(api_name="/list")["runs"]}

    def trains_and_leaves(index: int) -> None:
        with Window(app, train_pressed, f"short{index}", 2, SEED + 1 + index, QUICK) as window:
            window.hears("Done.")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(trains_and_leaves, range(SHORT)))
    kept, closed = new_context().new_page(), new_context().new_page()  # a process each, as one waits for the other
    for window, seed in ((kept, 30), (closed, 31)):  # paused: who left is missed after half a minute
        open_page(window, app)
        fill(window, steps=5000, seed=seed)
        window.click("#step")
        says(window, "Paused. Step 1")
    with ExitStack() as opened:
        long = [opened.enter_context(Window(app, step_pressed, f"long{i}", 5000, SEED + 100 + i)) for i in range(LONG)]
        for window in long[:2]:
            window.hears("Paused.")
        wait_until(lambda: phases(lab) == {"paused": 4, "waiting": LONG - 2})
        for window in long[2:]:
            window.hears("in the queue")
    closed.close()
    wait_until(lambda: phases(lab) == {"paused": 1}, every=1)
    seen = app.steps(30)
    kept.click("#train")
    says(kept, "Training.")
    app.wait_for_steps(30, max(seen.values()) + 3)
    kept.click("#stop")
    says(kept, "Stopped.")
    wait_until(lambda: processes(app) == ids)
    wait_until(lambda: memory(app) < 1.15 * before)
    stopped = [30, 31, SEED + 100, SEED + 101]
    expected = dict.fromkeys(range(SEED + 1, SEED + 1 + SHORT), "finished") | dict.fromkeys(stopped, "interrupted")
    listed = [run for run in lab.predict(api_name="/list")["runs"] if run["run"] not in already]
    assert sorted((app_seed(app, run["run"]), run["status"]) for run in listed) == sorted(
        (seed, status) for seed, status in expected.items() for _ in range(2)
    )


def what_a_page_sends(page: Page, button: str) -> list[dict[str, Any]]:
    """What a click on Train or Step sends: the form, and the wish to follow."""
    with (
        page.expect_request(lambda r: "run/predict" in r.url and str(SEED) in (r.post_data or "")) as begin,
        page.expect_request("**/queue/join*") as follow,
    ):
        page.click(f"#{button}")
    says(page, "Training." if button == "train" else "Paused.")
    page.click("#stop")
    says(page, "Stopped.")
    return [orjson.loads(asked.value.post_data or "") for asked in (begin, follow)]


def phases(lab: Client) -> Counter[str]:
    """Phase → how many trainings of the server are in it."""
    return Counter(job["phase"] for job in lab.predict(api_name="/list")["jobs"])


def app_seed(app: App, run_id: str) -> int:
    return next(run.config.seed for run in Store(app.runs).runs() if run.run_id == run_id)


def processes(app: App) -> set[int]:
    """The app's own and those under it."""
    return {app.pid, *(child.pid for child in psutil.Process(app.pid).children(recursive=True))}


def memory(app: App) -> int:
    """Bytes in memory of the app and all processes under it."""
    return sum(psutil.Process(pid).memory_info().rss for pid in processes(app))
