"""The page by keyboard: keys that press its buttons and open its tabs, and a list of them; questions to begin with."""

import re

import pytest
from playwright.sync_api import Page, expect

from neatlab.dashboard.page import TABS
from tests.browser.conftest import App, jobs_of, open_page, says, shows, stop_all

pytestmark = pytest.mark.browser


def selected(page: Page) -> str:
    return page.locator("#tabs [role=tab][aria-selected=true]").inner_text()


def test_keys_press_buttons_and_open_tabs(page: Page, app: App) -> None:
    open_page(page, app, "?task=digits&steps=5000&seed=95")
    page.keyboard.press(" ")
    app.wait_for_steps(95, 2)
    says(page, "Training.")
    page.keyboard.press(" ")
    says(page, "Paused.")
    page.keyboard.press("r")
    says(page, "press Train")
    for number, tab in list(enumerate(TABS, 1))[::-1]:
        page.keyboard.press(str(number))
        assert selected(page) == tab.title


def test_what_is_typed_is_no_key(page: Page, app: App) -> None:
    open_page(page, app)
    page.locator("#steps input").fill("")
    page.locator("#steps input").press_sequentially("12")
    expect(page.locator("#steps input")).to_have_value("12")
    page.locator("#steps input").press("?")
    expect(page.locator("#keys dialog")).to_be_hidden()
    assert selected(page) == "Train"


def test_keys_and_terms_are_explained_by_the_keyboard_alone(page: Page, app: App) -> None:
    open_page(page, app)
    page.keyboard.press("?")
    dialog = page.locator("#keys dialog")
    shows(dialog, "train, pause, go on")
    assert dialog.locator("tbody tr").count() == 6 + len(TABS)
    page.keyboard.press("2")
    assert selected(page) == "Train"
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    page.click("#show-keys")
    expect(dialog).to_be_visible()
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_be_hidden()

    page.locator("#spectrum .term").press("Enter")
    note = page.locator("#term-spectrum")
    shows(note, "The singular values of ΔW")
    page.keyboard.press("Escape")
    expect(note).to_be_hidden()
    page.locator("#spectrum .term").press("Enter")
    note.get_by_role("link").click()
    expect(note).to_be_hidden()
    assert selected(page) == "Understand"


def test_a_question_is_trained_at_a_press(page: Page, app: App) -> None:
    open_page(page, app)
    page.get_by_role("link", name="See LoRA win").click()
    says(page, re.compile("Training|Done"))  # it may be over before one looks
    expect(page).to_have_url(re.compile("low-rank"))
    shows(page.locator("#lesson"), "LoRA's own form")
    stop_all(app)
    says(page, re.compile("Stopped|Done"))
    page.reload()
    expect(page.locator("#train")).to_be_enabled()
    says(page, re.compile("press Train|Done"))
    assert jobs_of(app.url) == []  # a reload trains nothing


def test_ones_own_data_are_asked_for_at_a_press(page: Page, app: App) -> None:
    open_page(page, app)
    page.get_by_role("button", name="Ask about my CSV").click()
    shows(page.locator("#data-about"), "CSV")
