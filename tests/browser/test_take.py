"""What was trained is taken along: the scripts say exactly these settings, the link leads to these runs."""

import ast

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import App, open_page, says, shows, train

pytestmark = pytest.mark.browser


def test_there_is_nothing_before_a_training(page: Page, app: App) -> None:
    open_page(page, app, "?seed=97")
    page.click("#take")
    shows(page.locator("#taken [role=alert]"), "there is nothing yet")


def test_scripts_command_and_runs(page: Page, app: App) -> None:
    train(page, app, "?task=digits&steps=3&seed=96&arm=lora:rank=2&arm=neat:rank=3,depth=4,lr=0.01")
    says(page, "Done.")
    page.click("#take")
    parts = page.locator("#taken details")
    expect(parts).to_have_count(4)
    shows(parts.nth(0).locator("pre"), "LoraConfig")
    lora, neat, command = (parts.nth(i).locator("code").text_content() or "" for i in range(3))
    for script in (lora, neat):
        ast.parse(script)
    assert "r=2" in lora and "STEPS, WARMUP, BATCH, SEED = 3, 0, 64, 96" in lora
    assert "r=3" in neat and "depth=4" in neat and "0.01" in neat
    assert "--arm neat:rank=3,depth=4,lr=0.01" in command and "--steps 3" in command
    parts.nth(1).locator("summary").click()
    expect(parts.nth(0)).not_to_have_attribute("open", "")
    parts.nth(3).locator("summary").click()
    page.get_by_role("link", name="These runs on Runs").click()
    for run in app.stored(96).values():
        shows(page.locator("#tab-runs"), run.run_id)
