"""The Understand tab as a class uses it: numbers, construction, cards and the way to a training."""

import re
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page, Route, expect

from neatlab.dashboard.understand.equations import written_out
from neatlab.dashboard.understand.request import LayerSizes
from neatlab.dashboard.understand.steps import STEPS
from tests.browser.conftest import DRAWN, PATIENCE, App, chart, choose, fill, shows

pytestmark = pytest.mark.browser


# Until `answer` is called, no request of the page is sent.
HOLD = """() => {
  const [send, gate] = [window.fetch, new Promise(open => window.answer = open)];
  window.asked = 0;
  window.fetch = async (...request) => { window.asked += 1; await gate; return send(...request); };
}"""
LATEX = "#size-neat annotation[encoding='application/x-tex']"


@pytest.fixture(scope="module")
def opened(same_page: Page, app: App) -> Page:
    """The tab, once for all tests: each looks at a part of its own."""
    same_page.set_default_timeout(PATIENCE)
    same_page.goto(f"{app.url}?tab=understand")
    shows(same_page.locator("#size-lines-caption"), "At rank 4: LoRA 1,280, NEAT 512")
    return same_page


def test_the_pictures_follow_the_sliders_in_the_browser_alone(opened: Page) -> None:
    panel = opened.locator("#shapes")
    expect(panel.get_by_role("img", name="A of LoRA, 4×256")).to_be_visible()
    opened.evaluate(HOLD)
    for name, key in (("rank", "ArrowRight"), ("depth", "ArrowRight"), ("d-in", "ArrowLeft")):
        opened.locator(f"#size-{name} input[type=range]").press(key)
    expect(panel.get_by_role("img", name="A of LoRA, 5×240")).to_be_visible()
    expect(panel.get_by_role("img", name="inner Θ of NEAT, 5×5")).to_be_visible()
    shows(
        panel.locator(".weights-readout"), "Drawn at random. LoRA trains 1,520 numbers, NEAT 665, for the 15,360 of ΔW."
    )
    width, height = panel.locator("canvas").first.evaluate("one => [one.clientWidth, one.clientHeight]")
    assert width / height == pytest.approx(240 / 64, rel=0.03)
    opened.wait_for_function("window.asked > 0")  # what the server makes of it comes after
    opened.evaluate("window.answer()")
    opened.locator("#size-d-out input[type=range]").fill("24")  # 8 outputs
    opened.locator("#size-rank input[type=range]").press("End")
    shows(opened.locator("#size-lora"), "8·(240 + 8) = 1,984")
    opened.locator("#size-d-out input[type=range]").fill("25")
    expect(opened.locator("#size-rank input[type=range]")).to_have_attribute("max", "9")


def place(seed: int, i: int, j: int) -> float:
    """The number that the page draws for a place of a matrix."""
    number = (seed * 0x9E3779B1 ^ (i + 1) * 0x85EBCA77 ^ (j + 1) * 0xC2B2AE3D) % 2**32
    for factor in (0x2C1B3C6D, 0x297A2D39):
        number = (number ^ number >> 15) * factor % 2**32
    return (number ^ number >> 15) / 2**31 - 1


def drawn(seed: int, rows: int, columns: int) -> Any:
    return np.array([[place(seed, i, j) for j in range(columns)] for i in range(rows)])


def test_the_numbers_are_the_equations(opened: Page) -> None:
    fill(opened, size_d_in=32, size_d_out=16, size_rank=3, size_depth=2)
    expect(opened.locator("#shapes").get_by_role("img", name="H of NEAT, 3×32")).to_be_visible()
    opened.locator("#shapes .weights-view").press("ArrowRight")
    text = opened.locator("#shapes .weights-readout").inner_text().replace("−", "-")
    weight, left, right, first = drawn(1, 16, 32), drawn(2, 16, 3), drawn(3, 3, 32), drawn(4, 3, 16)
    hidden = np.maximum(first @ weight * 3 / 4, 0)  # 3 / √16
    for name, matrix in (("W₀", weight), ("ΔW LoRA", left @ right), ("ΔW NEAT", left @ hidden)):
        (value,) = re.findall(f"{name} ([-\\d.e]+)", text)
        assert float(value) == pytest.approx(matrix[0, 0], rel=0.01)


@pytest.mark.parametrize(("rank", "depth"), [(3, 2), (6, 8), (12, 5)])
def test_the_rank_and_the_dead_units_are_those_of_the_numbers(opened: Page, rank: int, depth: int) -> None:
    fill(opened, size_d_in=32, size_d_out=16, size_rank=rank, size_depth=depth)
    expect(opened.locator("#shapes").get_by_role("img", name=f"H of NEAT, {rank}×32")).to_be_visible()
    hidden = np.maximum(drawn(4, rank, 16) @ drawn(1, 16, 32), 0)
    for k in range(depth - 2):
        hidden = np.maximum(drawn(5 + k, rank, rank) @ hidden, 0)  # its scale changes no rank
    dead = int((~hidden.any(axis=1)).sum())
    text = f"rank of ΔW: {np.linalg.matrix_rank(drawn(2, 16, rank) @ hidden)}"
    if dead:
        text += f", {dead} of {rank} units dead"
    heads = opened.locator("#shapes .weights-head")
    shows(heads.nth(0), f"LoRA rank of ΔW: {rank} ·")
    shows(heads.nth(1), f"NEAT {text} ·")


def test_a_narrower_layer_allows_less_rank_in_whichever_order_the_calls_come(opened: Page) -> None:
    fill(opened, size_d_in=256, size_d_out=64, size_rank=64, size_depth=2)
    shows(opened.locator("#size-lora"), "64·(256 + 64) = 20,480")
    opened.evaluate(DRAWN)
    held: list[Route] = []
    opened.route("**/run/predict**", lambda route: route.continue_() if held else held.append(route))
    opened.locator("#size-d-out input[type=range]").fill("32")  # 16 outputs, then rank 16
    shows(opened.locator("#size-lora"), "16·(256 + 16) = 4,352")
    with opened.expect_response(lambda answer: answer.request == held[0].request):
        held[0].continue_()
    opened.unroute("**/run/predict**")
    opened.evaluate(DRAWN)
    shows(opened.locator("#size-lora"), "16·(256 + 16) = 4,352")
    expect(opened.locator("#size-message [role=alert]")).to_have_count(0)


def test_the_equations_follow_the_numbers(opened: Page) -> None:
    fill(opened, size_d_in=256, size_d_out=64, size_rank=4, size_depth=4)
    shows(opened.locator("#size-neat"), "2·4·64 + 2·4² = 544")
    expect(opened.locator(LATEX)).to_have_text(written_out(LayerSizes(depth=4)))
    fill(opened, size_rank=65)
    shows(opened.locator("#size-message"), "rank=65 is above the layer's size; allowed: 1 to 64")
    fill(opened, size_rank=8)
    expect(opened.locator("#size-message [role=alert]")).to_have_count(0)
    shows(opened.locator("#size-lora"), "8·(256 + 64) = 2,560")
    opened.wait_for_function("['rank=8', 'maps=4'].every(said => location.search.includes(said))")
    opened.reload()
    shows(opened.locator("#size-neat"), "2·8·64 + 2·8² = 1,152")
    expect(opened.locator("#size-rank input[type=range]")).to_have_value("8")
    choose(opened, "size-sigma", "tanh")
    shows(opened.locator("#size-curve-caption"), "tanh(4) = 1.00")
    assert chart(opened, "size-lines", "chart => chart.data.map(t => t.name)")[:3:2] == ["LoRA", "NEAT"]


def test_lora_is_written_as_neat_on_the_tasks_layers(opened: Page) -> None:
    fill(opened, contains_rank=100)
    opened.click("#contains-start")
    shows(opened.locator("#contains-message"), "has no room for 200 hidden units")
    fill(opened, contains_rank=4)
    opened.click("#contains-start")
    steps = opened.locator("#contains-found .step")
    for count in range(1, STEPS):
        expect(steps).to_have_count(count, timeout=PATIENCE)
        expect(steps.last.locator(".katex")).to_be_visible()
        opened.press("#contains-next", "Enter")
    table = opened.locator("#contains-found table")
    expect(table.locator("tbody tr")).to_have_count(2)
    assert all(float(text) < 1e-3 for text in table.locator("tbody tr td:last-child").all_inner_texts())
    choose(opened, "contains-layer", "vit.layers.3.attention.v_proj")
    shows(opened.locator("#contains-found h3"), "vit.layers.3.attention.v_proj: a LoRA of rank 4")
    shows(table, "64 of 64")


def test_a_card_asks_for_a_guess_and_is_answered_with_the_keyboard(opened: Page) -> None:
    opened.press("#reveal-0", "Enter")
    shows(opened.locator("#answer-0"), "Predict first: 2, 4, 8, 10?", exact=True)
    opened.locator("#card-0").get_by_label("8", exact=True).focus()
    opened.keyboard.press("Space")
    opened.press("#reveal-0", "Enter")
    shows(opened.locator("#answer-0"), "You predicted 8. Not so. 10. LoRA pays r·(d_in + d_out) = 1,280")


def test_a_hint_leads_to_the_training_that_shows_it(opened: Page) -> None:
    opened.get_by_role("link", name="Try it: LoRA's home").click()
    shows(opened.locator("#lesson"), "LoRA's home")
    expect(opened.locator("#train")).to_be_visible()
