"""The page by keyboard: keys that press its buttons and open its tabs, and a list of them; questions to begin with."""

import re

import pytest
from playwright.sync_api import Page, Request, expect

from neatlab.dashboard.page import TABS
from tests.browser.conftest import App, choose, jobs_of, open_page, says, settle, shows, stop_all

pytestmark = pytest.mark.browser


def selected(page: Page) -> str:
    return page.locator("#tabs [role=tab][aria-selected=true]").inner_text()


def test_keys_press_buttons_and_open_tabs(page: Page, app: App) -> None:
    open_page(page, app, "?task=digits&steps=5000&seed=95")
    page.keyboard.press(" ")
    app.wait_for_steps(95, 2)
    says(page, "Training.")
    expect(page.locator("#pause")).to_be_enabled()
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


def test_a_list_that_is_passed_by_leaves_the_form_as_it_is(page: Page, under_way: set[Request], app: App) -> None:
    open_page(page, app, "?task=digits&steps=7&lr=0.5&arm=lora:rank=3&arm=neat:rank=6,depth=4")
    settle(page, under_way)
    for name in ("task", "a-method", "b-method"):
        page.focus(f"#{name} input")
        page.keyboard.press("Tab")
        page.click(f"#{name} input")  # to look at what there is
        page.locator(f"#{name} input").blur()
    settle(page, under_way)
    values = {"steps": "7", "lr": "0.5", "a-rank": "3", "b-rank": "6", "b-depth": "4"}
    for name, value in values.items():
        expect(page.locator(f"#{name}").locator("input, textarea").first).to_have_value(value)
    # By the keyboard too: another choice brings its own.
    page.focus("#task input")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("#lr").locator("input, textarea").first).to_have_value("")
    choose(page, "b-method", "LoRA")
    expect(page.locator("#b-depth")).to_be_hidden()
    expect(page.locator("#b-rank input")).to_have_value("4")


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
