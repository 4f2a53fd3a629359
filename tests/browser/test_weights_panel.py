"""The weights panel in a real browser: its numbers are the store's, at the step on the slider."""

import re
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from neatlab.runs.weights import StoredWeights, read_weights
from tests.browser.conftest import PATIENCE, App, chart, fill, open_page, says, shows

pytestmark = pytest.mark.browser
QUERY = "?task=teacher:kind=low-rank&steps=20&seed=75"
LAYER = "layers.0.linear"
NUMBER = r"([−\d.e]+)"
SEEN = """() => {
  window.seen = [];
  document.addEventListener("input", ({ target }) => target.closest("#at") && window.seen.push(Number(target.value)));
}"""
SIGMA = "node => node.data.filter(t => t.mode === 'lines+markers').map(t => Array.from(t.y))"


def stored(app: App) -> dict[str, StoredWeights]:
    """Method → what its run stored."""
    runs = app.stored(75).values()
    return {run.config.arm.method: weights for run in runs if (weights := read_weights(run.path))}


def cell(weights: StoredWeights, step: int) -> float:
    """The first cell of ΔW, from the stored factors: of 256 columns two or three are one cell."""
    index = weights.index_at(step)
    assert index is not None
    parts = weights.frame(index, LAYER)
    left, right = parts["left"].astype(float), parts["right"].astype(float)
    return float((left @ right)[0, : 256 // 96].mean())


def open_trained(page: Page, app: App) -> None:
    """The page with both arms trained; those that are stored are shown as it opens."""
    page.set_default_timeout(PATIENCE)
    page.goto(app.url + QUERY)
    expect(page.locator("#train")).to_be_enabled()
    if not app.stored(75):
        page.click("#train")
    says(page, "Done.")
    shows(page.locator("#weights .live-caption"), "step 20.")


def read(page: Page, name: str) -> float:
    """A number of the line below the pictures."""
    text = page.locator("#weights .weights-readout").inner_text()
    (value,) = re.findall(f"{name} {NUMBER}", text)
    return float(value.replace("−", "-"))


def test_its_numbers_are_those_of_the_store_at_every_step(page: Page, app: App) -> None:
    open_trained(page, app)
    runs = stored(app)
    page.locator("#weights .weights-view").press("ArrowRight")
    for step in (20, 7):  # it stands at the last
        if step != 20:
            fill(page, at=step)
        shows(page.locator("#weights .live-caption"), f"step {step}.")
        shows(page.locator("#spectrum .live-caption"), f"step {step}.")
        for method, name in (("lora", "ΔW LoRA"), ("neat", "ΔW NEAT")):
            assert read(page, name) == pytest.approx(cell(runs[method], step), rel=0.01, abs=1e-4)
        drawn = chart(page, "spectrum", SIGMA)
        expected = [w.spectra(LAYER)[w.index_at(step) or 0] for w in (runs["lora"], runs["neat"])]
        for values, sigma in zip(drawn, expected, strict=True):
            np.testing.assert_allclose(values, sigma, rtol=1e-4)


def test_a_direction_is_seen_in_the_spectrum_too(page: Page, app: App) -> None:
    open_trained(page, app)
    page.locator("#weights .weights-view").press("PageDown")
    shows(page.locator("#weights .weights-readout"), "LoRA r 4: σ1 = ")
    expect(page.locator("#spectrum-chart .hoverlayer .hovertext").first).to_be_visible()
    page.locator("#weights .weights-view").press("Escape")
    expect(page.locator("#spectrum-chart .hoverlayer .hovertext")).to_have_count(0)


def test_before_a_training_the_form_gives_the_shapes(page: Page, app: App) -> None:
    open_page(page, app, "?task=teacher:kind=low-rank&seed=76")
    panel = page.locator("#weights")
    shows(panel.locator(".weights-readout"), "Shapes of these settings")
    expect(panel.get_by_role("img", name="A of LoRA, 4×256")).to_be_visible()
    fill(page, a_rank=16)
    expect(panel.get_by_role("img", name="A of LoRA, 16×256")).to_be_visible()
    before: Any = panel.locator("canvas").first.bounding_box()
    assert before["width"] > 3 * before["height"]  # 64 × 256, to scale


def test_replay_goes_from_the_first_step_to_the_last(page: Page, app: App) -> None:
    open_trained(page, app)
    page.evaluate(SEEN)
    page.click("#replay")
    page.wait_for_function("window.seen.at(-1) === 20 && window.seen[0] < 20")
    seen = page.evaluate("window.seen")
    assert seen == sorted(seen)
    says(page, "Step 20 of 20.")
