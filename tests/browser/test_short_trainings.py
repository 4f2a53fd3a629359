"""Short trainings end in Done, also where everything is late."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import App, fill, open_page, says, serve, wait_until

pytestmark = pytest.mark.browser
QUICK = "?task=teacher:kind=low-rank&steps=1"
WINDOWS = 3
# Of several windows at once: one round as it is and one late, on a busy machine. All thirty: NEATLAB_TEST_ROUNDS=5.
ROUNDS = int(os.environ.get("NEATLAB_TEST_ROUNDS", "1"))
LATER = 3000  # milliseconds
BUSY = [sys.executable, "-c", "while True: pass"]


@pytest.fixture(scope="module")
def late(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """While this file is there the windows hear of everything late."""
    return tmp_path_factory.mktemp("slowed") / "late"


@pytest.fixture(scope="module")
def slowed(late: Path) -> Iterator[App]:
    """An app of its own for that."""
    folder = late.parent
    with serve(folder, "--trainings", "4", script="tests/browser/slowed.py", NEATLAB_TEST_LATE=str(late)) as served:
        yield served


@pytest.fixture(scope="module")
def pages(browser: Browser, slowed: App) -> Iterator[list[Page]]:
    """Several windows, a context each: a browser opens six connections to a server, and a window holds one or two."""
    contexts = [browser.new_context() for _ in range(WINDOWS)]
    yield [open_page(context.new_page(), slowed, QUICK) for context in contexts]
    for context in contexts:
        context.close()


@pytest.fixture
def busy() -> Iterator[None]:
    """Two processes that take what they can get of the machine."""
    processes = [subprocess.Popen(BUSY) for _ in range(2)]
    yield
    for process in processes:
        process.kill()
        process.wait()


def test_every_short_training_ends_in_done(pages: list[Page], slowed: App) -> None:
    all_end_in_done(pages, slowed, 9000, ROUNDS)


@pytest.mark.usefixtures("busy")
def test_so_does_every_one_that_is_drawn_late(pages: list[Page], slowed: App, late: Path) -> None:
    late.touch()
    all_end_in_done(pages, slowed, 9500, ROUNDS)


def all_end_in_done(pages: list[Page], app: App, seeds: int, rounds: int) -> None:
    """Train in several windows at once, look, and look again later; then start over on empty pages."""
    for first in range(seeds, seeds + rounds * WINDOWS, WINDOWS):
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
