"""What the page says is so: it follows the training that goes on, pauses when it says so, and says Done in the end."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import BrowserContext, Page, Request, expect

from tests.browser.conftest import App, fill, open_page, says, serve, settle, train, wait_until

pytestmark = pytest.mark.browser
QUICK = "?task=teacher:kind=low-rank&steps=1"
WINDOWS = 5
# Three rounds of windows, and one where each takes a minute. More: NEATLAB_TEST_ROUNDS=3.
ROUNDS, SLOW_ROUNDS = 3, int(os.environ.get("NEATLAB_TEST_ROUNDS", "1"))
LATER = 3000  # milliseconds
BY_API, AT_ONCE = 200, 25  # as many are asked for before the first of them is looked at
BUSY = [sys.executable, "-c", "while True: pass"]


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """An app of its own, with an empty runs folder, whose windows hear of everything late, on a busy machine."""
    with serve(tmp_path_factory.mktemp("fresh"), "--trainings", "4", script="tests/browser/slowed.py") as served:
        yield served


@pytest.fixture
def busy() -> Iterator[None]:
    """Two processes that take what they can get of the machine."""
    processes = [subprocess.Popen(BUSY) for _ in range(2)]
    yield
    for process in processes:
        process.kill()
        process.wait()


def test_a_reload_during_the_first_training_follows_it(page: Page, fresh: App) -> None:
    open_page(page, fresh)
    page.click("#train")
    page.wait_for_function("location.search.length > 1")
    page.click("#pause")
    says(page, "Paused.")
    page.reload()
    says(page, "Paused.")
    page.click("#train")
    says(page, "Training.")
    expect(page.locator("#message-run [role=alert]")).to_have_count(0)
    page.click("#stop")
    says(page, "Stopped.")


def test_a_pause_at_once_ends_in_paused(page: Page, app: App) -> None:
    train(page, app, "?task=digits&steps=5000&seed=80")
    page.click("#pause")
    says(page, "Paused.")
    stood = app.steps(80)
    page.click("#step")
    wait_until(lambda: sum(app.steps(80).values()) >= sum(stood.values()) + 2)
    page.click("#stop")
    says(page, "Stopped.")
    assert app.steps(80) == {arm: stood[arm] + 1 for arm in ("lora:rank=4", "neat:rank=4,depth=2")}


def test_after_a_reset_in_the_middle_the_form_is_as_ever(page: Page, under_way: set[Request], app: App) -> None:
    failed: list[str] = []
    page.on("response", lambda response: failed.append(response.url) if response.status >= 500 else None)
    train(page, app, "?task=digits&steps=5000&seed=81")
    app.wait_for_steps(81, 2)
    says(page, "Training.")
    page.click("#reset")
    fill(page, seed=82)
    page.wait_for_url("**seed=82*")
    settle(page, under_way)
    says(page, "press Train")
    assert not failed


def test_every_short_training_ends_in_done(new_context: Callable[..., BrowserContext], app: App) -> None:
    all_end_in_done(new_context, app, ROUNDS)


@pytest.mark.usefixtures("busy")
def test_so_does_every_one_that_is_drawn_late(new_context: Callable[..., BrowserContext], fresh: App) -> None:
    all_end_in_done(new_context, fresh, SLOW_ROUNDS)


def all_end_in_done(new_context: Callable[..., BrowserContext], app: App, rounds: int) -> None:
    """Train in several windows at once, look, and look again later; then start over on empty pages."""
    # A context each: a browser opens six connections to a server, and every window holds one or two.
    pages = [open_page(new_context().new_page(), app, QUICK) for _ in range(WINDOWS)]
    for first in range(9000, 9000 + rounds * WINDOWS, WINDOWS):
        for seed, page in enumerate(pages, first):
            fill(page, seed=seed)
            page.click("#train")
        assert_done(pages, app, first)
        pages[0].wait_for_timeout(LATER)  # what may still come after Done has had its time: the page promises as much
        assert_done(pages, app, first)
        for page in pages:
            page.click("#reset")  # the lists of layers and arms are filled anew with the next
            says(page, "press Train")
    wait_until(lambda: not app.client().predict(api_name="/list")["jobs"])


def assert_done(pages: list[Page], app: App, first: int) -> None:
    """Each window says so, with the table of its runs, as the store has them."""
    for seed, page in enumerate(pages, first):
        says(page, "Done. Step 1 of 1.")
        runs = app.stored(seed).values()
        assert [run.status for run in runs] == ["finished"] * 2
        for run in runs:
            expect(page.locator(f'#summary tr[data-run="{run.run_id}"]')).to_be_visible()


def test_two_hundred_trainings_by_the_api_end_with_their_results(app: App) -> None:
    ended: list[dict[str, Any]] = []
    with httpx.Client(base_url=f"{app.url}gradio_api/run/", timeout=90) as http:
        for first in range(10_000, 10_000 + BY_API, AT_ONCE):
            ended += trained(http, range(first, first + AT_ONCE))
    assert [job["refusal"] for job in ended] == [None] * BY_API
    runs = [run for job in ended for run in job["runs"]]
    assert [(run["status"], run["done"]) for run in runs] == [("finished", 1)] * BY_API
    assert all(run["summary"]["metric"] > 0 for run in runs)


def trained(http: httpx.Client, seeds: range) -> list[dict[str, Any]]:
    """What the API says of trainings of one step once they have ended."""

    def ask(name: str, *values: Any) -> dict[str, Any]:
        return dict(http.post(name, json={"data": values}).raise_for_status().json()["data"][0])

    order = ["teacher:kind=low-rank", ["lora:rank=1"], 1]
    jobs = [ask("start", *order, seed, None, None, None)["job"] for seed in seeds]
    for job in reversed(jobs):
        wait_until(lambda job=job: ask("status", job)["phase"] == "ended")
    return [ask("status", job) for job in jobs]


def test_a_window_that_missed_every_update_catches_up(page: Page, app: App) -> None:
    open_page(page, app, f"{QUICK}&seed=83")
    page.route("**/queue/data*", lambda route: route.abort())
    with page.expect_event("requestfailed", lambda request: "/queue/data" in request.url):
        page.click("#train")
    wait_until(lambda: [run.status for run in app.stored(83).values()] == ["finished"] * 2)
    expect(page.locator("#summary tbody tr")).to_have_count(0)
    page.unroute("**/queue/data*")
    says(page, "Done.")
    expect(page.locator("#summary tbody tr")).to_have_count(2)
