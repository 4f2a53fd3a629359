"""The tour of the page: a guess, something to do, what it shows; by keyboard, in the link, skipped."""

import re
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Page, expect

from neatlab.dashboard.shared.tour import STOPS
from tests.browser.conftest import App, open_page, shows

pytestmark = pytest.mark.browser


def is_free(page: Page, control: str) -> bool:
    """Whether a control is seen whole, outlined, and beside the tour's panel."""
    box, tour = page.locator(control).bounding_box(), page.locator("#tour").bounding_box()
    assert box and tour
    size: Any = page.viewport_size
    apart = (
        box["x"] + box["width"] <= tour["x"]
        or tour["x"] + tour["width"] <= box["x"]
        or box["y"] + box["height"] <= tour["y"]
        or tour["y"] + tour["height"] <= box["y"]
    )
    outline = page.eval_on_selector(control, "node => getComputedStyle(node).outlineStyle")
    return apart and outline == "solid" and box["y"] >= 0 and box["y"] + box["height"] <= size["height"]


def test_it_is_taken_by_keyboard_goes_on_after_a_reload_and_ends(page: Page, app: App) -> None:
    page.set_viewport_size({"width": 1280, "height": 720})
    open_page(page, app)
    tour, (first, second, *_) = page.locator("#tour"), STOPS
    expect(tour).to_be_hidden()
    page.locator("#show-tour").press("Enter")
    expect(tour.get_by_role("heading", name=first.title)).to_be_focused()
    expect(page).to_have_url(re.compile(r"tour=1\b"))
    for _ in first.choices:
        page.keyboard.press("Tab")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    shows(tour.get_by_role("status"), f"You predicted: {first.choices[-2]}. {first.page.do}")
    assert is_free(page, "#step")
    tour.get_by_role("button", name="Reveal").press("Enter")
    shows(tour.get_by_role("status"), f"Not so: {first.right}. {first.shows}")
    expect(tour.get_by_role("button", name="Next")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"(?=.*tour=2\b)(?=.*tab=understand)"))
    expect(page.locator("#size-rank")).to_be_visible()
    tour.get_by_role("button", name=second.right, exact=True).press("Enter")
    page.reload()
    shows(tour.get_by_role("status"), f"You predicted: {second.right}.")
    page.wait_for_function("document.getElementById('size-rank')?.getClientRects().length")
    page.set_viewport_size({"width": 390, "height": 844})
    tour.get_by_role("button", name="Show me where").press("Enter")
    assert page.evaluate("document.activeElement.closest('#size-rank') !== null")
    assert is_free(page, "#size-rank")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert Axe().run(page, context="#tour").response["violations"] == []
    tour.get_by_role("button", name="Reveal").press("Enter")
    shows(tour.get_by_role("status"), "Right.")
    page.keyboard.press("Escape")
    expect(tour).to_be_hidden()
    expect(page.locator("#show-tour")).to_be_focused()
    assert "tour" not in page.url
