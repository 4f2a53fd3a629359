"""Short trainings end in Done, also where everything is late."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import App, fill, open_page, says, serve

pytestmark = pytest.mark.browser
QUICK = "?task=teacher:kind=low-rank&steps=1"
WINDOWS = 2  # not many: a browser opens six connections to a server, and a window holds one or two
# One round as it is and one late. All sixteen of each, and those late on a busy machine: NEATLAB_TEST_ROUNDS=8.
ROUNDS = int(os.environ.get("NEATLAB_TEST_ROUNDS", "1"))
LATER = 3000  # milliseconds
BUSY = [sys.executable, "-c", "while True: pass"]


def test_every_short_training_ends_in_done(windows: BrowserContext, app: App) -> None:
    with opened(windows, app) as pages:
        all_end_in_done(pages, app, 9000)


def test_so_does_every_one_that_is_drawn_late(windows: BrowserContext, tmp_path: Path) -> None:
    with (
        serve(tmp_path, "--trainings", "4", script="tests/browser/slowed.py") as late,
        opened(windows, late) as pages,
        busy() if ROUNDS > 1 else nullcontext(),
    ):
        all_end_in_done(pages, late, 9500)


@contextmanager
def opened(windows: BrowserContext, app: App) -> Iterator[list[Page]]:
    """The page in several windows."""
    pages = [open_page(windows.new_page(), app, QUICK) for _ in range(WINDOWS)]
    try:
        yield pages
    finally:
        for page in pages:
            page.close()


@contextmanager
def busy() -> Iterator[None]:
    """Two processes that take what they can get of the machine."""
    processes = [subprocess.Popen(BUSY) for _ in range(2)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def all_end_in_done(pages: list[Page], app: App, seeds: int) -> None:
    """Train in several windows at once, look, and look again later; then start over on empty pages."""
    for first in range(seeds, seeds + ROUNDS * WINDOWS, WINDOWS):
        for seed, page in enumerate(pages, first):
            fill(page, seed=seed)
            page.click("#train")
        assert_done(pages, app, first)
        pages[0].wait_for_timeout(LATER)  # what may still come after Done has had its time: the page promises as much
        assert_done(pages, app, first)
        for page in pages:
            page.click("#reset")  # the lists of layers and arms are filled anew with the next
            says(page, "press Train")


def assert_done(pages: list[Page], app: App, first: int) -> None:
    """Each window says so, with the table of its runs, as the store has them."""
    for seed, page in enumerate(pages, first):
        says(page, "Done. Step 1 of 1.")
        runs = app.stored(seed).values()
        assert [run.status for run in runs] == ["finished"] * 2
        for run in runs:
            expect(page.locator(f'#summary tr[data-run="{run.run_id}"]')).to_be_visible()
