"""The Train tab as a person uses it: numbers on the page are those of the store."""

import re

import pytest
from playwright.sync_api import Page, expect

from neatlab.plots.looks import short_name
from neatlab.runtime.numbers import bytes_number
from tests.browser.conftest import App, chart, choose, fill, open_page, says, shows, train

pytestmark = pytest.mark.browser
LORA, NEAT = "lora:rank=4", "neat:rank=4,depth=2"
QUICK = "?task=teacher:kind=low-rank"  # where it is the same for every task


def test_the_page_shows_the_numbers_of_the_store(page: Page, app: App) -> None:
    train(page, app, steps=5, seed=2, b_depth=4)
    says(page, "Done.")
    runs = app.stored(2)
    assert set(runs) == {LORA, "neat:rank=4,depth=4"}
    for trace, (label, letter) in enumerate(zip(sorted(runs), "AB", strict=True)):
        run = runs[label]
        assert run.status == "finished"
        row, started = page.locator(f'tr[data-run="{run.run_id}"]'), run.events[0]
        shows(row.locator("th"), f"{letter}: {label}", exact=True)
        assert row.locator("td").all_inner_texts()[1:] == [
            f"{run.summary['adapter_params']:,}",
            f"{run.summary['trainable_params']:,}",
            f"{run.summary['validation_metric']:.4f}",
            f"{run.summary['metric']:.4f}",
            f"{run.summary['seconds_per_step']:.4f}",
            bytes_number(started["saved_bytes"]),
            f"{run.summary['effective_rank']:.2f}",
            f"{started['base_metric']:.3f} → {run.summary['base_metric']:.3f}",
        ]
        losses = [event["loss"] for event in run.events if event["type"] == "Step"]
        assert drawn_losses(page, trace) == pytest.approx(losses)
        shows(page.locator("#learning-caption"), f"{short_name(label)}: {run.summary['validation_loss']:.4f}")
        shows(page.locator("#parameters-caption"), f"{run.summary['adapter_params']:,}")
        shows(page.locator("#status .answer"), f"{short_name(label)} {run.summary['validation_metric']:.4f}")


def drawn_losses(page: Page, trace: int) -> list[float]:
    return chart(page, "learning", f"chart => Array.from(chart.calcdata[{trace}], point => point.y)")


def test_pause_step_go_on_stop_reset(page: Page, app: App) -> None:
    open_page(page, app)
    fill(page, steps=5000, seed=3)
    page.click("#step")
    paused_at(page, app, 1)
    shows(page.locator("#train"), "Go on", exact=True)
    page.click("#step")
    paused_at(page, app, 2)
    page.click("#train")
    app.wait_for_steps(3, 6)
    says(page, "Training.")
    page.click("#pause")
    says(page, "Paused.")
    paused = app.steps(3)[LORA]
    paused_at(page, app, paused)
    page.click("#step")
    paused_at(page, app, paused + 1)  # not one more: what had been let through by mistake would be in it
    page.click("#stop")
    says(page, "Stopped.")
    assert {run.status for run in app.stored(3).values()} == {"interrupted"}
    assert set(app.steps(3).values()) == {paused + 1}
    first = first_losses(app, 3)
    page.click("#reset")
    says(page, "press Train")
    expect(page.locator("#learning .live-empty")).to_be_visible()
    expect(page.locator("#summary table")).to_have_count(0)
    expect(page.locator("#steps input")).to_have_value("5000")
    page.click("#step")
    paused_at(page, app, 1)
    assert first_losses(app, 3) == first


def paused_at(page: Page, app: App, step: int) -> None:
    """Wait for the word that nothing is trained any more, and see that both arms stand at this step."""
    says(page, f"Paused. Step {step} of 5000.")
    assert app.steps(3) == {LORA: step, NEAT: step}


def first_losses(app: App, seed: int) -> dict[str, float]:
    """Label of the arm → loss of its first step: the same initialisation and batch, the same loss."""
    runs = app.stored(seed)
    return {label: next(e["loss"] for e in run.events if e["type"] == "Step") for label, run in runs.items()}


def test_a_reload_in_the_middle_follows_the_training_that_goes_on(page: Page, app: App) -> None:
    train(page, app, steps=5000, seed=5)
    app.wait_for_steps(5, 3)
    says(page, "Training.")
    page.reload()
    says(page, "Training.")
    seen = app.steps(5)[NEAT]
    app.wait_for_steps(5, seen + 3)
    page.wait_for_function(f"Number(document.querySelector('#status progress').value) > {seen}")
    assert page.locator("#steps input").input_value() == "5000"
    page.click("#stop")
    says(page, "Stopped.")
    for run in app.stored(5).values():
        assert [event["type"] for event in run.events].count("RunStarted") == 1


def test_a_finished_run_is_shown_again_and_not_trained_again(page: Page, app: App) -> None:
    train(page, app, QUICK, steps=2, seed=6)
    says(page, "Done.")
    before = {path: path.stat().st_mtime_ns for path in app.runs.glob("*/events.jsonl")}
    page.click("#train")
    says(page, "2 of 2 runs were stored already")
    page.reload()
    says(page, "2 of 2 runs were stored already")
    expect(page.locator("#summary tbody tr")).to_have_count(2)
    assert {path: path.stat().st_mtime_ns for path in app.runs.glob("*/events.jsonl")} == before


def test_three_and_four_arms(page: Page, app: App) -> None:
    open_page(page, app)
    fill(page, steps=2, seed=7)
    choose(page, "c-method", "head only")  # a teacher has no head
    page.click("#train")
    says(page, "Done.")
    assert list(app.stored(7)) and shown_runs(page) == {run.run_id for run in app.stored(7).values()}
    expect(page.locator("#summary tbody tr")).to_have_count(3)
    open_page(page, app, f"{QUICK}&preset=depth&steps=2&seed=8")
    page.click("#train")
    says(page, "Done.")
    assert set(app.stored(8)) == {f"neat:rank=4,depth={depth}" for depth in (2, 4, 6, 8)}
    assert shown_runs(page) == {run.run_id for run in app.stored(8).values()}
    assert (
        chart(page, "spectrum", "chart => chart.data.filter(trace => trace.showlegend !== false).length") == 5
    )  # and ΔW*


def shown_runs(page: Page) -> set[str]:
    return set(page.locator("#summary tr[data-run]").evaluate_all("rows => rows.map(row => row.dataset.run)"))


def test_arms_matched_at_equal_parameters(page: Page, app: App) -> None:
    open_page(page, app)
    choose(page, "task", "teacher, ΔW* a function of W₀")
    choose(page, "match", "equal parameters")
    fill(page, steps=2, seed=9, b_rank=2)
    page.click("#train")
    says(page, "Done.")
    runs = app.stored(9)
    assert set(runs) == {LORA, "neat:rank=10,depth=2"}
    assert {run.summary["adapter_params"] for run in runs.values()} == {1280}
    for run in runs.values():
        shows(page.locator(f'tr[data-run="{run.run_id}"] td').nth(1), "1,280", exact=True)


def test_what_is_looked_at_stays_while_it_trains_and_stop_is_heard_within_a_step(page: Page, app: App) -> None:
    train(page, app, steps=5000, seed=10)
    page.wait_for_function("document.querySelector('#learning-chart').data")
    page.evaluate("window.marked = document.querySelector('#learning-chart')")
    zoomed = zoom_by_hand(page)
    page.evaluate("window.drawn = 0; window.marked.on('plotly_afterplot', () => window.drawn++)")
    shows(page.locator("#spectrum-caption"), "layers.0.attention.q_proj")
    choose(page, "layer", "vit.layers.3.attention.v_proj")
    shows(page.locator("#spectrum-caption"), "layers.3.attention.v_proj")
    shows(page.locator("#layers-caption"), "In this layer, now")
    page.wait_for_function("window.drawn >= 30", polling=200)
    assert page.evaluate("window.marked === document.querySelector('#learning-chart')")
    assert page.evaluate("window.marked.isConnected")
    assert page.evaluate("window.marked.layout.xaxis.range") == zoomed
    assert "layers.3.attention.v_proj" in page.inner_text("#spectrum-caption")
    assert page.locator("#layer input").input_value() == "vit.layers.3.attention.v_proj"

    with page.expect_response(re.compile("run/predict")):
        page.click("#stop")
    heard = app.steps(10)
    says(page, "Stopped.")
    ended = app.steps(10)
    assert all(ended[arm] <= heard[arm] + 1 for arm in (LORA, NEAT))
    expect(page.locator("#train")).to_be_enabled()
    shows(page.locator("#train"), "Train", exact=True)
    assert not any(run.summary for run in app.stored(10).values())

    page.context.set_offline(True)  # the page has the lines of all layers
    choose(page, "layer", "vit.layers.1.attention.q_proj")
    shows(page.locator("#spectrum-caption"), "layers.1.attention.q_proj")


def zoom_by_hand(page: Page) -> list[float]:
    """Drag over the left half of the upper panel; returns the new range of steps."""
    before = page.evaluate("window.marked.layout.xaxis.range")
    box = page.locator("#learning-chart .xy .nsewdrag").bounding_box()
    assert box is not None
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 2, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, y, steps=5)
    page.mouse.up()
    page.wait_for_function("end => window.marked.layout.xaxis.range[1] < end", arg=before[1])
    after = page.evaluate("window.marked.layout.xaxis.range")
    assert after[1] == pytest.approx(sum(before) / 2, rel=0.05)
    return after
