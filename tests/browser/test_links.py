"""The page's state in its link: written, copied, opened elsewhere, hidden from, app with, and misused."""

import re
from collections.abc import Callable
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from neatlab.adapters.methods import METHODS
from neatlab.dashboard.shared.presets import PRESETS
from tests.browser.conftest import (
    LESSON,
    LESSONS,
    PATIENCE,
    TRAINED,
    App,
    choose,
    fill,
    open_page,
    says,
    shows,
    train,
    unfold,
)

pytestmark = pytest.mark.browser
FIELDS = ["task", "steps", "seed", "batch", "lr", "match"]
FIELDS += ["a-method", "a-rank", "b-method", "b-rank", "b-depth", "b-activation", "c-method", "d-method"]


def state(page: Page) -> dict[str, str]:
    """Field → what stands in it."""
    return {name: page.locator(f"#{name}").locator("input, textarea").first.input_value() for name in FIELDS}


def opened(new_context: Callable[..., BrowserContext], link: str) -> Page:
    """The link in a browser that knows nothing of this page."""
    page = new_context().new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(link)
    return page


def settled(page: Page, *parts: str) -> str:
    """The address, once it holds these parts."""
    page.wait_for_function(
        "parts => parts.every(part => decodeURIComponent(location.search).includes(part))", arg=parts
    )
    return page.url


def test_the_state_opens_elsewhere_by_the_link_that_is_copied(
    page: Page, new_context: Callable[..., BrowserContext], app: App
) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    open_page(page, app)
    choose(page, "match", "equal rank")
    choose(page, "c-method", "head only")
    choose(page, "b-activation", "gelu")
    unfold(page, "#b-more button")
    fill(page, steps=40, seed=50, batch=16, lr=0.005, b_rank=6, b_depth=4)
    page.locator("#b-lr input").press_sequentially("0.01")
    link = settled(page, "steps=40", "batch=16", "match=rank", "arm=neat:rank=6,depth=4,activation=gelu,lr=0.01")
    assert parse_qs(urlsplit(link).query)["arm"][2] == "head"
    page.click("#copy-link")
    shows(page.locator("#copy-link"), "Copied", exact=True)
    assert page.evaluate("navigator.clipboard.readText()") == link
    page.click("#copy-link")
    page.evaluate("new Promise(later => setTimeout(later, 2000))")  # timers end in the order of their times
    shows(page.locator("#copy-link"), "Copy link", exact=True)
    other = opened(new_context, link)
    expect(other.locator("#steps input")).to_have_value("40")
    unfold(other, "#b-more button")
    expect(other.locator("#b-lr input")).to_have_value("0.01")
    assert state(other) == state(page)
    assert not app.stored(50)


def test_what_was_looked_at_is_in_the_link_too(
    page: Page, new_context: Callable[..., BrowserContext], app: App
) -> None:
    open_page(page, app, "?task=digits&steps=2&seed=51")
    page.click("#train")
    says(page, "Done.")
    choose(page, "layer", "vit.layers.1.attention.v_proj")
    page.locator("#at input[type=range]").fill("1")
    says(page, "The cursor is at step 1.")
    link = settled(page, "layer=vit.layers.1.attention.v_proj", "at=1")
    other = opened(new_context, link)
    says(other, "2 of 2 runs were stored already")
    says(other, "The cursor is at step 1.")
    shows(other.locator("#spectrum-caption"), page.inner_text("#spectrum-caption"), exact=True)
    expect(other.locator("#layer input")).to_have_value("vit.layers.1.attention.v_proj")


def test_a_preset_is_chosen_from_the_list(page: Page, app: App) -> None:
    open_page(page, app)
    choose(page, "preset", "NEAT's home")
    shows(page.locator("#lesson h2"), PRESETS["neats-home"].title, exact=True)
    shows(page.locator("#lesson p"), PRESETS["neats-home"].text, exact=True)
    expect(page.locator("#b-rank input")).to_have_value("10")
    expect(page.locator("#match input")).to_have_value("equal parameters")
    expect(page.locator("#steps input")).to_have_value("600")
    expect(page.locator("#preset input")).to_have_value("NEAT's home")
    fill(page, seed=71)
    expect(page.locator("#preset input")).to_have_value("your own settings")
    assert "preset=" not in page.url and "seed=71" in page.url
    page.click("#train")
    shows(page.locator("#status"), re.compile("Training|Done"), TRAINED)


def test_every_arm_of_a_link_shows_its_formula_and_what_differs(page: Page, app: App) -> None:
    arms = (("a", "lora", "0.02"), ("b", "neat", "0.02"), ("c", "lora", "0.002"), ("d", "neat", "0.002"))
    open_page(page, app, "?preset=learning-rate")
    for part, method, rate in arms:
        arm = page.locator(".arm").filter(has=page.locator(f"#{part}-method"))
        shows(arm.locator(".equation"), METHODS[method].equation, exact=True)
        expect(page.locator(f"#{part}-lr input")).to_be_visible()
        expect(page.locator(f"#{part}-lr input")).to_have_value(rate)
    open_page(page, app, "?arm=lora&arm=neat&arm=head&arm=lora:rank=2&seed=55")
    shows(page.locator("#d-more"), "More options")
    expect(page.locator("#d-lr")).to_be_hidden()  # nothing in there differs


def test_hide_hides_controls_and_they_still_hold(page: Page, app: App) -> None:
    hidden = "&".join(f"hide={name}" for name in ("presets", "task", "settings", "arms", "scrub", "command"))
    open_page(page, app, f"?task=teacher:kind=low-rank&steps=2&seed=52&{hidden}")
    for name in ("preset", "task", "steps", "seed", "match", "a-method", "b-rank", "at", "layer", "command"):
        expect(page.locator(f"#{name}")).to_be_hidden()
    page.click("#train")
    says(page, "Done.")
    assert {run.config.training.steps for run in app.stored(52).values()} == {2}


def test_lessons_are_offered_and_opened(page: Page, app: App) -> None:
    open_page(page, app)
    for index, name in enumerate(LESSONS):
        shows(page.locator("#lesson li").nth(index), f"Which <b>rank</b>? {name}", exact=True)
    expect(page.locator("#lesson li")).to_have_count(2)
    page.get_by_role("link", name="Which <b>rank</b>? rank").click()
    shows(page.locator("#lesson h2"), "Which <b>rank</b>? rank", exact=True)
    shows(page.locator("#lesson p"), LESSON["text"], exact=True)
    expect(page.locator("#b-rank input")).to_have_value("6")
    expect(page.locator("#a-rank input")).to_have_value("2")
    for name in ("steps", "preset", "b-more"):  # which would be open, as its learning rate differs
        expect(page.locator(f"#{name}")).to_be_hidden()
    expect(page.locator("#task")).to_be_visible()
    assert page.evaluate("window.pwned") is None


SCRIPT = "<img src=x onerror='window.pwned=1'><script>window.pwned=1</script>"
BAD = [  # query, what the message says; every kind of value is tried without a browser in test_dashboard_links.py
    (f"{SCRIPT}=1", "unknown parameter"),
    ("lesson=../../../etc/passwd", "lesson"),
]


def test_links_that_cannot_be_opened_say_so_and_change_nothing(page: Page, app: App) -> None:
    open_page(page, app)
    fresh, before = state(page), set(app.runs.glob("*"))
    for query, said in BAD:
        page.goto(f"{app.url}?seed=53&{quote(query, safe='=&:,')}")
        shows(page.locator("#message-page [role=alert]"), "This link cannot be opened")
        shows(page.locator("#message-page"), said)
        assert state(page) == fresh, query
        assert page.evaluate("window.pwned") is None
    assert app.client().predict(api_name="/list")["jobs"] == []
    assert set(app.runs.glob("*")) == before


def test_a_name_with_a_script_in_it_is_shown_as_text(page: Page, app: App) -> None:
    open_page(page, app, f"?task=teacher:kind=low-rank&steps=2&seed=54&layer={quote(SCRIPT)}")
    page.click("#train")
    says(page, "Done.")
    assert page.evaluate("window.pwned") is None


def test_back_goes_to_the_tab_before_and_leaves_what_was_typed(page: Page, app: App) -> None:
    open_page(page, app, "?seed=57")
    page.get_by_role("tab", name="Ablate").click()
    expect(page).to_have_url(re.compile("tab=ablate"))
    page.get_by_role("tab", name="Runs").click()
    expect(page).to_have_url(re.compile("tab=runs"))
    page.go_back()
    expect(page.get_by_role("tab", name="Ablate")).to_have_attribute("aria-selected", "true")
    page.go_back()
    expect(page.get_by_role("tab", name="Train")).to_have_attribute("aria-selected", "true")
    fill(page, seed=58)
    expect(page).to_have_url(re.compile("seed=58"))
    page.go_forward()
    expect(page.get_by_role("tab", name="Ablate")).to_have_attribute("aria-selected", "true")
    expect(page).to_have_url(re.compile("(?=.*tab=ablate)(?=.*seed=58)"))


def test_for_a_projector_the_charts_are_lettered_larger(page: Page, app: App) -> None:
    train(page, app, "?task=digits&steps=3&seed=59&view=projector")
    says(page, "Done.")
    page.wait_for_function("document.querySelector('#spectrum-chart').data")
    sizes = page.eval_on_selector_all(
        "#spectrum-chart text", "texts => texts.map(text => parseFloat(getComputedStyle(text).fontSize))"
    )
    assert min(sizes) >= 16
    assert page.eval_on_selector("#spectrum .live-caption", "part => parseFloat(getComputedStyle(part).fontSize)") >= 16
    expect(page).to_have_url(re.compile("view=projector"))
