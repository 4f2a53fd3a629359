"""The verdict in place: asked for behind the page, and there again after a reload."""

import re

import pytest
from playwright.sync_api import Page, expect

from neatlab.dashboard.sweeps.snapshot import read_sweep
from neatlab.dashboard.train.verdict import order_of
from neatlab.runs.store import Store
from tests.browser.conftest import App, says, shows, train

pytestmark = pytest.mark.browser
# Rates of their own: none is searched for, and one learns nothing, so that three seeds decide.
QUERY = "?task=teacher:kind=low-rank&arm=lora:rank=4,lr=0.02&arm=neat:rank=4,lr=1e-6"


def test_which_arm_is_better_is_found_out_in_place(page: Page, app: App) -> None:
    train(page, app, QUERY, steps=20)
    says(page, "Done.")
    button, answer = page.locator("[data-find-out]"), page.locator("#status .answer")
    shows(answer, "one seed: no answer yet")
    button.click()
    shows(answer, re.compile(r"3 seeds: LoRA r 4(, lr 0.02)? is better"))
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
