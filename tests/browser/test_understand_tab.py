"""The Understand tab as a class uses it: numbers, construction, cards and the way to a training."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import PATIENCE, App, chart, choose, fill, shows

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def opened(same_page: Page, app: App) -> Page:
    """The tab, once for all tests: each looks at a part of its own."""
    same_page.set_default_timeout(PATIENCE)
    same_page.goto(f"{app.url}?tab=understand")
    shows(same_page.locator("#size-lines-caption"), "At rank 4: LoRA 1,280, NEAT 512")
    return same_page


def test_the_equations_follow_the_numbers(opened: Page) -> None:
    fill(opened, size_depth=4)
    shows(opened.locator("#size-neat"), "2·4·64 + 2·4² = 544")
    shows(opened.locator("#size-neat"), "ΔW = s·(relu(relu(relu(W₀ᵀ Θ₁) Θ₂) Θ₃) Θ₄)ᵀ")
    fill(opened, size_rank=65)
    shows(opened.locator("#size-message"), "rank=65 is above the layer's size; allowed: 1 to 64")
    fill(opened, size_rank=8)
    expect(opened.locator("#size-message [role=alert]")).to_have_count(0)
    shows(opened.locator("#size-lora"), "8·(256 + 64) = 2,560")
    opened.wait_for_function("['rank=8', 'maps=4'].every(said => location.search.includes(said))")
    opened.reload()
    shows(opened.locator("#size-neat"), "2·8·64 + 2·8² = 1,152")
    choose(opened, "size-sigma", "tanh")
    shows(opened.locator("#size-curve-caption"), "tanh(4) = 1.00")
    assert chart(opened, "size-lines", "chart => chart.data.map(t => t.name)")[:3:2] == ["LoRA", "NEAT"]


def test_lora_is_written_as_neat_on_the_tasks_layers(opened: Page) -> None:
    fill(opened, contains_rank=100)
    opened.click("#contains-start")
    shows(opened.locator("#contains-message"), "has no room for 200 hidden units")
    fill(opened, contains_rank=4)
    opened.click("#contains-start")
    table = opened.locator("#contains-found table")
    expect(table.locator("tbody tr")).to_have_count(2, timeout=PATIENCE)
    assert all(float(text) < 1e-3 for text in table.locator("tbody tr td:last-child").all_inner_texts())
    choose(opened, "contains-layer", "vit.layers.3.attention.v_proj")
    shows(opened.locator("#contains-found h3"), "vit.layers.3.attention.v_proj: a LoRA of rank 4")
    shows(table, "64 of 64")


def test_a_card_is_answered_with_the_keyboard(opened: Page) -> None:
    opened.locator("#card-0").get_by_label("8", exact=True).focus()
    opened.keyboard.press("Space")
    opened.locator("#reveal-0").focus()
    opened.keyboard.press("Enter")
    shows(opened.locator("#answer-0"), "You predicted 8. Not so. 10. LoRA pays r·(d_in + d_out) = 1,280")


def test_a_hint_leads_to_the_training_that_shows_it(opened: Page) -> None:
    opened.get_by_role("link", name="Try it: LoRA's home").click()
    shows(opened.locator("#lesson"), "LoRA's home")
    expect(opened.locator("#train")).to_be_visible()
