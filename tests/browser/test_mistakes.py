"""A mistake on the Train tab is named where it was made, and goes when it is mended."""

import pytest
from playwright.sync_api import Page, Request, expect

from neatlab.adapters.methods import METHODS
from tests.browser.conftest import TRAINED, App, chart, choose, fill, open_page, says, settle, shows, train

pytestmark = pytest.mark.browser

MISTAKES = [  # field, value, what mends it, where the message stands, what it says
    ("b_depth", 3, 2, "b", "paired residuals need an even depth"),
    ("a_rank", 65, 4, "a", "rank=65 is above"),
    ("a_rank", 513, 4, "a", "less than or equal to 512"),
    ("lr", "nan", "", "run", "finite number"),
    ("lr", "<img src=x onerror='window.pwned=1'>", "", "run", "valid number"),
    ("steps", 5001, 150, "run", "less than or equal to 5000"),
    ("batch", "-3", "", "run", "greater than or equal to 1"),
]


def test_a_mistake_is_named_where_it_was_made(page: Page, under_way: set[Request], app: App) -> None:
    before = set(app.runs.glob("*"))
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


def test_a_mistake_leaves_the_charts_and_goes_when_it_is_mended(page: Page, under_way: set[Request], app: App) -> None:
    train(page, app, "?task=teacher:kind=low-rank", steps=1, seed=12)
    says(page, "Done.")
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


def test_two_arms_that_are_the_same_are_refused_under_the_second(page: Page, app: App) -> None:
    open_page(page, app)
    choose(page, "b-method", "LoRA")
    page.click("#train")
    shows(page.locator("#message-b"), "arm A is lora:rank=4 too")


def test_a_method_brings_its_own_fields(page: Page, app: App) -> None:
    open_page(page, app)
    expect(page.locator("#b-depth")).to_be_visible()
    choose(page, "b-method", "head only")
    expect(page.locator("#b-depth")).to_be_hidden()
    expect(page.locator("#b-rank")).to_be_hidden()
    expect(page.locator("#c-more")).to_be_hidden()
    choose(page, "c-method", "LoRA")
    shows(page.locator("#c-more"), "More options")
    shows(page.locator(".arm .equation").last, METHODS["lora"].equation, exact=True)
