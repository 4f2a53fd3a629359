"""The verdict in place: asked for behind the page, and there again after a reload."""

import re

import pytest
from playwright.sync_api import Page, expect

from neatlab.dashboard.sweeps.snapshot import read_sweep
from neatlab.dashboard.train.verdict import order_of
from neatlab.runs.store import Store
from tests.browser.conftest import SWEPT, App, open_page, says, shows

pytestmark = pytest.mark.browser
# Rates of their own: none is searched for, and one learns nothing, so that three seeds decide.
QUERY = "?task=teacher:kind=low-rank&arm=lora:rank=4,lr=0.02&arm=neat:rank=4,lr=1e-6&steps=20"


def press(page: Page, selector: str, at_most: int) -> None:
    """Go to a control by Tab and press it."""
    for _ in range(at_most):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return page.keyboard.press("Enter")
    raise AssertionError(f"{selector} is not reached by {at_most} presses")


def test_from_load_to_verdict_by_the_keyboard_and_there_again_after_a_reload(page: Page, app: App) -> None:
    open_page(page, app, QUERY)
    press(page, "#train", at_most=12)  # the lessons of this server stand before it
    says(page, "Done.")
    button, answer = page.locator("[data-find-out]"), page.locator("#status .answer")
    shows(answer, "one seed: no answer yet")
    press(page, "[data-find-out]", at_most=20)
    shows(answer, re.compile(r"3 seeds: LoRA r 4(, lr 0.02)? is better"), timeout=SWEPT * 1000)
    expect(answer.locator("svg.interval")).to_be_visible()
    shows(page.locator("#summary .decision"), "Take lora:rank=4")
    configs = {label.partition(":")[0]: run.config for label, run in app.stored(0).items()}
    seen = read_sweep(order_of([configs["lora"], configs["neat"]]), Store(app.runs))
    assert seen.complete and len(seen.ended) == 6
    page.reload()
    says(page, "Done.")
    button.click()
    shows(answer, "3 seeds")  # from the store, nothing is trained again
    answer.get_by_role("link", name="Ablate from here").click()
    shows(page.locator("#ablate-outlook"), "1 arm and the reference lora:rank=4")
    expect(page.locator("#base-rank input")).to_have_value("4")
