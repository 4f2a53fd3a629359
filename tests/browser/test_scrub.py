"""The slider moves spectrum, curves' cursor, heat map and answers together through time."""

import math
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from neatlab.plots.looks import TABLE, short_name
from neatlab.runs.weights import read_weights
from tests.browser.conftest import App, chart, choose, open_page, says, shows

pytestmark = pytest.mark.browser
GIVEN = """cards => cards.map(card => [...card.querySelectorAll("li")].map(
    given => ["span", "b"].map(part => given.querySelector(part).innerText).join(" ")))"""
LINES = """chart => chart.data.filter(trace => trace.mode === "lines+markers")
    .map(trace => [trace.line.color, Array.from(trace.y)])"""
ARMS = ("lora:rank=4", "neat:rank=4,depth=2")
FIRST = "vit.layers.0.attention.q_proj"
OTHER = "vit.layers.2.attention.v_proj"


def test_the_slider_moves_spectrum_cursors_heat_map_and_answers_together(page: Page, app: App) -> None:
    open_page(page, app, "?task=digits&steps=30&seed=20")
    page.click("#train")
    says(page, "Done. Step 30 of 30.")
    assert cursors(page) == []
    assert_spectrum_is_that_of(page, app, 30, FIRST)
    assert_answers_are_those_of(page, app, 30)
    page.get_by_text("Confusion matrix").click()
    move(page, 27)  # ranks are measured at 0, 25 and 30, weights stored at every step of so few
    says(page, "The cursor is at step 27.")
    assert_spectrum_is_that_of(page, app, 27, FIRST)
    assert cursors(page) == [27, 27, 27]
    assert_map_is_that_of(page, app, 25, ARMS[1])
    assert_answers_are_those_of(page, app, 25)
    assert_confusions_are_those_of(page, app, 25)
    choose(page, "map-arm", short_name(ARMS[0]))
    shows(page.locator("#map-caption"), short_name(ARMS[0]))
    assert_map_is_that_of(page, app, 25, ARMS[0])
    choose(page, "layer", OTHER)
    assert_spectrum_is_that_of(page, app, 27, OTHER)
    move(page, 3)
    shows(page.locator("#spectrum-caption"), "step 3. Largest")
    shows(page.locator("#weights-caption"), "step 3. ")
    shows(page.locator("#map-caption"), "ΔW = 0 in every layer")
    assert cursors(page) == [3, 3, 3]
    assert_answers_are_those_of(page, app, 0)
    shows(page.locator("#learning-caption"), "Validation loss at step 3: ")
    shows(page.locator("#layers-caption"), "In this layer, at step 3: ")
    move(page, 30)  # the last follows the training: no cursor
    assert_spectrum_is_that_of(page, app, 30, OTHER)
    assert cursors(page) == []
    assert_scales_can_be_chosen(page, app)


def assert_scales_can_be_chosen(page: Page, app: App) -> None:
    log, normalised = (page.locator(f"#spectrum [data-scale={name}]") for name in ("log", "normalised"))
    expect(log).to_have_attribute("aria-pressed", "false")
    log.click()
    expect(log).to_have_attribute("aria-pressed", "true")
    assert chart(page, "spectrum", "chart => chart._fullLayout.yaxis.type") == "log"
    normalised.click()
    expect(normalised).to_have_attribute("aria-pressed", "true")
    drawn = chart(page, "spectrum", LINES)
    assert [colour for colour, _ in drawn] == [TABLE["lora"][0], TABLE["neat"][0]]
    for (_, values), arm in zip(drawn, ARMS, strict=True):
        own = list(measured(app, 30, arm)[OTHER]["singular_values"])  # type: ignore[call-overload]
        assert values == pytest.approx([value / own[0] for value in own])


def test_the_keyboard_moves_it_while_it_trains(page: Page, app: App) -> None:
    open_page(page, app, "?task=digits&steps=5000&seed=21")
    page.click("#train")
    app.wait_for_steps(21, 26)
    slider = page.locator("#at input[type=range]")
    move(page, 1)
    says(page, "The cursor is at step 1.")
    expect(slider).to_have_value("1")
    slider.press("ArrowRight")
    says(page, "The cursor is at step 2.")
    seen = min(app.steps(21).values())
    app.wait_for_steps(21, seen + 2)
    assert cursors(page) == [2, 2, 2]
    expect(slider).to_have_value("2")
    shows(page.locator("#spectrum-caption"), "step 0. Largest")


def move(page: Page, step: int) -> None:
    page.locator("#at input[type=range]").fill(str(step))


def cursors(page: Page) -> list[int]:
    """Where the cursor stands in the curves, in the layer's curves and in the heat map."""
    script = "chart => (chart.layout.shapes || []).filter(shape => shape.yref === 'paper').map(shape => shape.x0)"
    return [x for name in ("learning", "layers", "map") for x in chart(page, name, script)]


def stored(app: App, step: int, arm: str, layer: str) -> list[float]:
    """The singular values that the store has of a layer at a step."""
    weights = read_weights(app.stored(20)[arm].path)
    assert weights is not None
    index = weights.index_at(step)
    assert index is not None and weights.steps[index] == step
    return [float(value) for value in weights.spectra(layer)[index]]


def measured(app: App, step: int, arm: str) -> dict[str, dict[str, object]]:
    """Layer → what the store has of its ΔW at a step."""
    events = app.stored(20)[arm].events
    return {e["layer"]: e for e in events if e["type"] == "SpectrumMeasured" and e["step"] == step}


def assert_spectrum_is_that_of(page: Page, app: App, step: int, layer: str) -> None:
    shows(page.locator("#spectrum-caption"), f"{layer}, step {step}. ")
    values = [stored(app, step, arm, layer) for arm in ARMS]
    largest = "; ".join(f"{short_name(arm)}: {own[0]:.3f}" for arm, own in zip(ARMS, values, strict=True))
    said = f"Largest singular value: {largest}."
    shows(page.locator("#spectrum-caption"), said)
    drawn = chart(page, "spectrum", "chart => chart.calcdata.map(trace => Array.from(trace, point => point.y))")
    for own in values:
        assert any(line == pytest.approx(own) for line in drawn)


def assert_map_is_that_of(page: Page, app: App, step: int, arm: str) -> None:
    ranks = {layer: float(str(e["effective_rank"])) for layer, e in measured(app, step, arm).items()}
    high, low = max(ranks, key=lambda name: ranks[name]), min(ranks, key=lambda name: ranks[name])
    said = f"step {step}: highest effective rank {ranks[high]:.2f} in {high}, lowest {ranks[low]:.2f} in {low}."
    shows(page.locator("#map-caption"), f"{short_name(arm)}, {said}", exact=True)
    drawn = chart(page, "map", "chart => chart._fullData[0].z.flatMap(row => Array.from(row))")
    assert all(any(math.isclose(value or math.nan, rank, rel_tol=1e-6) for value in drawn) for rank in ranks.values())


def answered(app: App, step: int) -> list[dict[str, Any]]:
    """What the store has of each arm's answers at a step."""
    runs = app.stored(20)
    return [next(e for e in runs[arm].events if e["type"] == "Predicted" and e["step"] == step) for arm in ARMS]


def assert_answers_are_those_of(page: Page, app: App, step: int) -> None:
    """Every example's answers and signs, each once, and those that differ before all others."""
    lora, neat = answered(app, step)
    shows(page.locator("#answers-caption"), f"Answers of step {step}.")
    cards = page.locator(".answers > .answers-cards > li")
    rows = cards.evaluate_all(GIVEN)
    signs = "✗✓"
    stored = [
        [f"{signs[arm['right'][i]]} {arm['values'][i]}" for arm in (answered(app, 0)[0], lora, neat)]
        for i in range(len(lora["values"]))
    ]
    assert sorted(rows) == sorted(stored)
    differ = [one != other for _, one, other in rows]
    assert differ == sorted(differ, reverse=True)
    assert page.locator(".answers > .answers-cards > .answers-apart").count() == sum(differ)


def assert_confusions_are_those_of(page: Page, app: App, step: int) -> None:
    """Opened at an earlier step, it stays open."""
    expect(page.locator(".answers-confusion").first).to_be_visible()
    script = "cells => cells.map(cell => Number(cell.innerText || 0))"
    tables = [answered(app, 0)[0], *answered(app, step)]
    assert page.locator(".answers-confusion td").evaluate_all(script) == [
        count for event in tables for counts in event["confusion"] for count in counts
    ]
