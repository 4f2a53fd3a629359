"""The page in a real browser, served by `python app.py`."""

import re
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import orjson
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import TRAINED, App, fill, open_page, train

pytestmark = pytest.mark.browser
NewContext = Callable[..., BrowserContext]


def test_no_request_leaves_the_machine_and_nothing_is_logged(page: Page, app: App) -> None:
    asked, logged = [], []
    page.context.on("request", lambda request: asked.append(request.url))
    page.on("websocket", lambda socket: asked.append(socket.url))
    page.on("pageerror", lambda error: logged.append(str(error)))
    page.on("console", lambda message: logged.append(message.text) if message.type in ("error", "warning") else None)
    train(page, app, steps=2, seed=1)
    expect(page.locator("#status")).to_contain_text("Done", timeout=TRAINED)
    assert any(url.endswith("plotly.min.js") for url in asked)
    hosts = {urlsplit(url).hostname for url in asked if urlsplit(url).scheme not in ("data", "blob")}
    assert hosts == {"127.0.0.1"}
    assert logged == []
    page.hover("#learning-chart")
    expect(page.locator("#learning-chart .modebar-btn").first).to_be_attached()
    assert not [n for n in page.locator(".modebar-btn").evaluate_all("b => b.map(x => x.ariaLabel)") if "hare" in n]


def test_the_page_shows_the_numbers_of_the_store(page: Page, app: App) -> None:
    train(page, app, steps=5, seed=2, b_depth=4)
    expect(page.locator("#status")).to_contain_text("Done.", timeout=TRAINED)
    folders = app.folders(2)
    assert set(folders) == {"lora", "neat"}
    for method, folder in folders.items():
        summary = orjson.loads((folder / "summary.json").read_bytes())
        cells = page.locator(f'tr[data-run="{folder.name}"] td').all_inner_texts()
        assert summary["status"] == "finished"
        assert cells[1:] == [
            f"{summary['adapter_params']:,}",
            f"{summary['trainable_params']:,}",
            f"{summary['validation_metric']:.4f}",
            f"{summary['metric']:.4f}",
            f"{summary['seconds_per_step']:.4f}",
            f"{summary['effective_rank']:.2f}",
        ]
        losses = [e["loss"] for e in app.events(2)[method] if e["type"] == "Step"]
        assert drawn_losses(page, 0 if method == "lora" else 1) == pytest.approx(losses)
        assert f"{summary['validation_loss']:.4f}" in page.inner_text("#learning-caption")


def drawn_losses(page: Page, trace: int) -> list[float]:
    script = "i => Array.from(document.querySelector('#learning-chart').calcdata[i], point => point.y)"
    return page.evaluate(script, trace)


def test_a_finished_run_is_shown_again_and_not_trained_again(page: Page, app: App) -> None:
    train(page, app, steps=2, seed=3)
    expect(page.locator("#status")).to_contain_text("Done.", timeout=TRAINED)
    before = {path: path.stat().st_mtime_ns for path in app.runs.glob("*/events.jsonl")}
    page.click("#train")
    expect(page.locator("#status")).to_contain_text("2 of 2 runs shown from the runs folder", timeout=TRAINED)
    assert {path: path.stat().st_mtime_ns for path in app.runs.glob("*/events.jsonl")} == before


def test_the_chart_keeps_its_node_and_its_zoom(page: Page, app: App) -> None:
    train(page, app, steps=3000, seed=4)
    app.wait_for_steps(4, 2)
    page.wait_for_function("document.querySelector('#learning-chart').data")
    page.evaluate("window.marked = document.querySelector('#learning-chart')")
    zoomed = zoom_by_hand(page)
    first = page.evaluate("window.marked.calcdata[0].length")
    page.wait_for_function("first => window.marked.calcdata[0].length > first + 10", arg=first)
    assert page.evaluate("window.marked === document.querySelector('#learning-chart')")
    assert page.evaluate("window.marked.layout.xaxis.range") == zoomed
    page.click("#stop")
    expect(page.locator("#status")).to_contain_text("Stopped")


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


def test_the_layer_can_be_chosen_while_it_trains(page: Page, app: App) -> None:
    train(page, app, steps=3000, seed=5)
    expect(page.locator("#spectrum-caption")).to_contain_text("layers.0.attention.q_proj", timeout=TRAINED)
    page.click("#layer input")
    page.get_by_role("option", name="vit.layers.3.attention.v_proj").click()
    expect(page.locator("#spectrum-caption")).to_contain_text("layers.3.attention.v_proj")
    page.click("#stop")
    expect(page.locator("#status")).to_contain_text("Stopped")
    assert "layers.3.attention.v_proj" in page.inner_text("#spectrum-caption")


def test_stop_ends_the_training_within_one_step(page: Page, app: App) -> None:
    train(page, app, steps=3000, seed=6)
    app.wait_for_steps(6, 3)
    with page.expect_response(re.compile("run/predict")):
        page.click("#stop")
    heard = app.steps(6)
    time.sleep(1.5)
    ended = app.steps(6)
    assert all(ended[arm] <= heard[arm] + 1 for arm in ("lora", "neat"))
    expect(page.locator("#status")).to_contain_text("Stopped")
    expect(page.locator("#train")).to_be_enabled()
    time.sleep(1)
    assert app.steps(6) == ended
    assert all(events[-1]["type"] == "RunFailed" for events in app.events(6).values())
    assert not any((folder / "summary.json").exists() for folder in app.folders(6).values())


def test_closing_the_tab_ends_its_training_and_no_other(new_context: NewContext, app: App) -> None:
    closed, kept = new_context().new_page(), new_context().new_page()
    train(closed, app, steps=3000, seed=7)
    train(kept, app, steps=3000, seed=8)
    app.wait_for_steps(7, 3)
    app.wait_for_steps(8, 3)
    closed.close()
    time.sleep(2)
    ended, others = app.steps(7), app.steps(8)
    app.wait_for_steps(8, max(others.values()) + 5)
    assert app.steps(7) == ended
    assert not any((folder / "summary.json").exists() for folder in app.folders(7).values())
    kept.click("#stop")
    expect(kept.locator("#status")).to_contain_text("Stopped")


MISTAKES = [  # field, value, what mends it, where the message stands, what it says
    ("b_depth", 3, 2, "b", "paired residuals need an even depth"),
    ("a_rank", 65, 4, "a", "rank=65 is above"),
    ("lr", "nan", "", "run", "finite number"),
    ("steps", 5001, 150, "run", "less than or equal to 5000"),
]


def test_a_mistake_is_named_where_it_was_made(page: Page, app: App) -> None:
    before = set(app.runs.iterdir())
    open_page(page, app)
    for field, value, mended, part, said in MISTAKES:
        fill(page, **{field: value})
        page.click("#train")
        expect(page.locator(f"#message-{part}")).to_contain_text(said, timeout=TRAINED)
        expect(page.locator("#train")).to_be_enabled()
        time.sleep(0.5)  # and it stays: nothing that comes later wipes it out
        expect(page.locator("#status")).to_contain_text("Not started")
        expect(page.locator("#status")).to_contain_text(said)
        expect(page.locator(f"#message-{part}")).to_contain_text(said)
        expect(page.locator("[role=alert]")).to_have_count(1)
        fill(page, **{field: mended})
    assert "Traceback" not in page.content()
    assert set(app.runs.iterdir()) == before


def test_a_mistake_leaves_the_charts_and_goes_when_it_is_mended(page: Page, app: App) -> None:
    train(page, app, steps=1, seed=10)
    expect(page.locator("#status")).to_contain_text("Done.", timeout=TRAINED)
    fill(page, b_depth=3)
    page.click("#train")
    expect(page.locator("#message-b")).to_contain_text("even depth")
    time.sleep(0.5)
    expect(page.locator("#summary tbody tr")).to_have_count(2)
    assert page.evaluate("document.querySelector('#learning-chart').data.length") == 6
    fill(page, b_depth=4)
    page.click("#train")
    expect(page.locator("#summary")).to_contain_text("neat:rank=4,depth=4", timeout=TRAINED)
    expect(page.locator("#message-b [role=alert]")).to_have_count(0)


def test_a_method_brings_its_own_fields(page: Page, app: App) -> None:
    open_page(page, app)
    expect(page.locator("#b-depth")).to_be_visible()
    page.click("#b-method input")
    page.get_by_role("option", name="head only").click()
    expect(page.locator("#b-depth")).to_be_hidden()
    expect(page.locator("#b-rank")).to_be_hidden()


def test_the_page_is_as_wide_as_the_window(page: Page, app: App) -> None:
    open_page(page, app)
    for width in (1280, 700, 390):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") == width
