"""The Ablate tab as a person uses it: ask for a grid, watch it fill, stop, resume, load again, read the verdict."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import fmean

import psutil
import pytest
from playwright.sync_api import Page, expect

from neatlab.dashboard.sweeps.request import SweepOrder
from neatlab.runs.store import Store
from tests.browser.conftest import DRAWN, PATIENCE, SWEPT, App, choose, fill, shows, wait_until

pytestmark = pytest.mark.browser

AXES = {"depth": [2], "activation": ["relu", "tanh"]}
ORDER = SweepOrder.check("teacher:kind=weight-aware", "neat:rank=4", AXES, {"seeds": 2, "steps": 1000})
LINK = (
    "?tab=ablate&ablate_task=teacher:kind=weight-aware&base=neat:rank=4&depth=2&activation=relu&activation=tanh"
    "&seeds=2&ablate_steps=1000"
)


def open_tab(page: Page, app: App, query: str = "?tab=ablate") -> None:
    page.set_default_timeout(PATIENCE)
    page.goto(app.url + query)
    shows(page.locator("#ablate-outlook"), "The runs folder holds")
    page.evaluate(DRAWN)  # Gradio fills a tab once more when it has been drawn for the first time


def says(page: Page, text: str | re.Pattern[str]) -> None:
    shows(page.locator("#ablate-status"), text, timeout=SWEPT * 1000)


def finished(app: App) -> int:
    store = Store(app.runs)
    return sum(store.finished(config) is not None for config in ORDER.runs())


def drawn(page: Page) -> list[float]:
    """The mean scores in the grid's cells."""
    return [float(text.split()[0]) for text in page.locator("#ablate-grid .score").all_inner_texts()]


def test_a_sweep_is_watched_stopped_resumed_and_judged(page: Page, app: App) -> None:
    before = set(psutil.Process(app.pid).children(recursive=True))
    open_tab(page, app, LINK)
    shows(page.locator("#ablate-outlook"), "6 runs: 2 arms and the reference lora:rank=4, 2 seeds each")
    expect(page.locator("#ablate-grid td.planned")).to_have_count(3)
    page.click("#ablate-start")
    wait_until(lambda: finished(app) >= 1, SWEPT)
    with held(app, before), page.expect_response(re.compile("run/predict")):
        page.click("#ablate-stop")
    says(page, "Stopped; what had finished is kept")
    kept = finished(app)
    assert kept < 6
    says(page, f"{kept} of 6 runs")
    wait_until(lambda: not since(app, before))

    page.get_by_role("button", name="Resume").click()
    says(page, re.compile(r"Sweeping\.|All runs are there"))
    page.reload()
    says(page, "All runs are there. 6 of 6 runs")
    store = Store(app.runs)
    scores: dict[str, list[float]] = {}
    for config in ORDER.runs():
        run = store.finished(config)
        assert run is not None
        scores.setdefault(config.arm.label, []).append(run.summary["metric"])
    for label, found in scores.items():
        row = page.locator("#ablate-verdict tr").filter(has=page.get_by_role("rowheader", name=label, exact=True))
        shows(row, f"{fmean(found):.4f}")
    means = [fmean(scores[config.arm.label]) for config in ORDER.runs()[::2]]
    wait_until(lambda: drawn(page) == pytest.approx(means, abs=5e-4))
    shows(page.locator("#ablate-verdict"), "Reference: lora:rank=4.")
    expect(page.locator("#ablate-verdict [role=region]")).to_have_attribute("tabindex", "0")
    with page.expect_popup() as opened:
        page.locator("#ablate-grid td a").last.click()
    shows(opened.value.locator("#status"), "Done. 2 of 2 runs were stored already")
    opened.value.close()


def test_until_it_is_decided_then_at_tuned_rates(page: Page, app: App) -> None:
    open_tab(page, app, f"{LINK.partition('&activation')[0]}&activation=relu&ablate_steps=60&margin=100")
    choose(page, "ablate-seeds", "until it is decided")
    shows(page.locator("#ablate-outlook"), "a first look after 3 seeds")
    page.click("#ablate-start")
    says(page, "Decided. 6 of 6 runs")
    shows(page.locator("#ablate-decision"), "as good as")
    page.wait_for_url("**seeds=auto**")
    page.click("#ablate-tune")  # the link says it, and twelve runs find the rates
    page.wait_for_url("**rates=auto**")
    says(page, "Decided. 18 of 18 runs")
    shows(page.locator("#ablate-verdict"), "did best on the validation split")
    page.reload()
    says(page, "Decided. 18 of 18 runs")


@contextmanager
def held(app: App, before: set[psutil.Process]) -> Iterator[None]:
    """Dask's workers stand still meanwhile: however fast they are, they cannot get ahead of the page."""
    workers = [process for process in since(app, before) if process.parent() not in before]
    assert workers
    for worker in workers:
        worker.suspend()
    yield
    for worker in workers:
        worker.resume()


def since(app: App, before: set[psutil.Process]) -> set[psutil.Process]:
    """The server's processes that were not there before."""
    return set(psutil.Process(app.pid).children(recursive=True)) - before


def test_the_form_asks_for_nothing_that_is_refused(page: Page, app: App) -> None:
    open_tab(page, app)
    page.locator("#ablate-depth").get_by_label("3", exact=True).check()
    shows(page.locator("#ablate-outlook"), "30 runs: 9 arms")
    shows(page.locator("#ablate-outlook"), "All arms have residual=none")
    choose(page, "base-method", "LoRA")
    shows(page.locator("#ablate-message-run"), "lora:rank=4 is the reference too")
    page.wait_for_url("**base=lora:rank=4**")
    fill(page, ablate_steps=0)
    shows(page.locator("#ablate-message-run"), "steps='0'")
    page.click("#ablate-start")
    shows(page.locator("#ablate-message-run"), "steps='0'")
    expect(page.locator("#ablate-start")).to_be_enabled()


def test_a_link_with_another_depth_is_refused(page: Page, app: App) -> None:
    page.set_default_timeout(PATIENCE)
    page.goto(f"{app.url}?tab=ablate&depth=16")
    shows(page.locator("#message-page"), "This link cannot be opened: depth '16'")
