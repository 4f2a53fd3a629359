"""The Train tab is one screen: on a projector everything is seen at once, and nothing moves by itself."""

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import App, open_page, says

pytestmark = pytest.mark.browser
QUERY = "?task=digits&steps=30&seed=90"
PROJECTOR = {"width": 1280, "height": 720}
AT_ONCE = ("train", "pause", "step", "stop", "reset", "at", "status", "task")
ARMS = ("a-method", "a-rank", "b-method", "b-rank", "b-depth", "b-activation")
PANELS = ("weights", "spectrum", "learning", "answers")
MAX_SHIFT = 0.02
SHIFTS = """window.shift = 0; new PerformanceObserver(list => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shift += entry.value;
}).observe({type: "layout-shift", buffered: true})"""


def seen_whole(page: Page, name: str) -> bool:
    """Whether an element lies within the window."""
    box: Any = page.locator(f"#{name}").bounding_box()
    return box["x"] >= 0 and box["y"] >= 0 and box["x"] + box["width"] <= 1280 and box["y"] + box["height"] <= 720


def test_all_of_it_is_seen_without_scrolling_and_nothing_moves(page: Page, app: App) -> None:
    page.set_viewport_size(PROJECTOR)
    page.add_init_script(SHIFTS)
    open_page(page, app, QUERY)
    page.wait_for_function("window.neatlabOpened")
    page.add_style_tag(content="#lesson { display: none !important }")  # this server has lessons, most have none
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    page.evaluate("window.shift = 0")
    assert [name for name in (*AT_ONCE, *ARMS, *PANELS) if not seen_whole(page, name)] == []
    page.click("#train")
    says(page, re.compile("Training|Done"))
    assert [name for name in (*AT_ONCE, *ARMS, *PANELS) if not seen_whole(page, name)] == []
    says(page, "Done.")
    page.wait_for_function("document.querySelector('#spectrum-chart').data")
    assert [name for name in (*AT_ONCE, *ARMS, *PANELS) if not seen_whole(page, name)] == []
    assert page.evaluate("window.shift") <= MAX_SHIFT


@pytest.mark.parametrize("width", [1280, 390])
def test_the_questions_lie_within_their_panel(page: Page, app: App, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 720})
    open_page(page, app)
    panel: Any = page.locator("#answers .live-empty").bounding_box()
    questions: Any = page.locator("#answers .questions").bounding_box()
    assert panel["y"] <= questions["y"] and questions["y"] + questions["height"] <= panel["y"] + panel["height"]
    assert page.locator("#answers .questions li").count() == 4


def test_a_panel_is_enlarged_and_put_back_by_keyboard(page: Page, app: App) -> None:
    page.set_viewport_size(PROJECTOR)
    open_page(page, app)
    enlarge = page.get_by_role("button", name="Spectrum of ΔW: enlarge")
    before: Any = page.locator("#spectrum").bounding_box()
    enlarge.press("Enter")
    expect(enlarge).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#learning")).to_be_hidden()
    after: Any = page.locator("#spectrum").bounding_box()
    assert after["width"] > 1.8 * before["width"] and after["height"] > 1.4 * before["height"]
    enlarge.press("Escape")
    expect(page.locator("#learning")).to_be_visible()
    assert page.locator("#spectrum").bounding_box() == before

    rail = page.locator("#tab-train .settings")  # higher than the window with this panel open: it scrolls down alone
    with page.expect_file_chooser():
        page.get_by_role("button", name="Ask about my CSV").click()
    assert rail.evaluate("rail => [rail.scrollWidth - rail.clientWidth, rail.scrollHeight > rail.clientHeight]") == [
        0,
        True,
    ]
    page.locator("#d-method").scroll_into_view_if_needed()
    assert seen_whole(page, "d-method")


def test_train_is_few_keys_away(page: Page, app: App) -> None:
    open_page(page, app)
    page.evaluate("document.activeElement.blur()")
    reached: list[str] = []
    while "train" not in reached and len(reached) < 20:
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate("document.activeElement.closest('#lesson') ? 'lesson' : document.activeElement.id")
        )
    assert reached[-1] == "train" and sum(name != "lesson" for name in reached) <= 5, str(
        reached
    )  # this server has lessons


def test_arrows_go_from_tab_to_tab(page: Page, app: App) -> None:
    open_page(page, app)
    page.focus("#tab-train-button")
    for key, name in (("ArrowRight", "Ablate"), ("End", "Inspect"), ("ArrowRight", "Train"), ("ArrowLeft", "Inspect")):
        page.keyboard.press(key)
        expect(page.get_by_role("tab", name=name, exact=True)).to_be_focused()
        expect(page.get_by_role("tab", name=name, exact=True)).to_have_attribute("aria-selected", "true")


def test_the_theme_that_was_chosen_stays(page: Page, app: App) -> None:
    open_page(page, app)
    is_dark = page.evaluate("document.body.classList.contains('dark')")
    page.click("#theme")
    assert page.evaluate("document.body.classList.contains('dark')") is not is_dark
    page.reload()
    page.wait_for_function("window.neatlabOpened")
    assert page.evaluate("document.body.classList.contains('dark')") is not is_dark
