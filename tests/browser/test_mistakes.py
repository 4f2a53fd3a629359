"""A mistake on the Train tab is named where it was made, and goes when it is mended."""

import pytest
from playwright.sync_api import Page, expect

from neatlab.adapters.methods import METHODS
from tests.browser.conftest import TRAINED, App, chart, choose, fill, open_page, says, settle, shows, unanswered

pytestmark = pytest.mark.browser

# Field, value, what mends it, where the message stands, what it says; more values in test_dashboard_form.py.
MISTAKES = [
    ("b_depth", 3, 2, "b", "paired residuals need an even depth"),
    ("a_rank", 65, 4, "a", "rank=65 is above"),
    ("lr", "<img src=x onerror='window.pwned=1'>", "", "run", "valid number"),
    ("steps", 5001, 150, "run", "less than or equal to 5000"),
]


def test_a_mistake_is_named_where_it_was_made(same_page: Page, app: App) -> None:
    page, before = same_page, set(app.runs.glob("*"))
    under_way = unanswered(page)
    open_page(page, app)
    for field, value, mended, part, said in MISTAKES:
        fill(page, **{field: value})
        page.click("#train")
        shows(page.locator(f"#message-{part}"), said, TRAINED)
        expect(page.locator("#train")).to_be_enabled()
        settle(page, under_way)  # and it stays: nothing that comes later wipes it out
        shows(page.locator("#status"), "Not started")
        shows(page.locator("#status"), said)
        shows(page.locator(f"#message-{part}"), said)
        expect(page.locator("[role=alert]")).to_have_count(1)
        fill(page, **{field: mended})
    assert "Traceback" not in page.content()
    assert page.evaluate("window.pwned") is None
    assert set(app.runs.glob("*")) == before


def test_a_mistake_leaves_the_charts_and_goes_when_it_is_mended(same_page: Page) -> None:
    page, under_way = same_page, unanswered(same_page)
    choose(page, "task", "teacher, ΔW* of low rank")
    fill(page, steps=1, seed=12)
    page.click("#train")
    says(page, "Done.")
    settle(page, under_way)
    traces = chart(page, "learning", "chart => chart.data.length")
    fill(page, b_depth=3)
    page.click("#train")
    shows(page.locator("#message-b"), "even depth")
    settle(page, under_way)
    expect(page.locator("#summary tbody tr")).to_have_count(2)
    assert chart(page, "learning", "chart => chart.data.length") == traces > 0
    fill(page, b_depth=4)
    page.click("#train")
    shows(page.locator("#summary"), "neat:rank=4,depth=4", TRAINED)
    expect(page.locator("#message-b [role=alert]")).to_have_count(0)


def test_a_method_brings_its_own_fields(same_page: Page) -> None:
    page = same_page
    expect(page.locator("#b-depth")).to_be_visible()
    choose(page, "b-method", "LoRA")
    expect(page.locator("#b-depth")).to_be_hidden()
    page.click("#train")
    shows(page.locator("#message-b"), "arm A is lora:rank=4 too")
    choose(page, "b-method", "head only")
    expect(page.locator("#b-depth")).to_be_hidden()
    expect(page.locator("#b-rank")).to_be_hidden()
    expect(page.locator("#c-more")).to_be_hidden()
    choose(page, "c-method", "LoRA")
    shows(page.locator("#c-more"), "More options")
    shows(page.locator(".arm .equation").last, METHODS["lora"].equation, exact=True)
