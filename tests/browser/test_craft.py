"""What every tab owes to everyone: reachable, readable, as wide as the window, quiet, and nothing sent elsewhere."""

import csv
import io
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Download, Locator, Page, Request, expect

from neatlab.dashboard.doors.scripts import mended
from neatlab.dashboard.train.charts import CHARTS
from tests.browser.conftest import App, chart, fill, open_page, says, settle, unanswered, unfold, wait_until

pytestmark = pytest.mark.browser
QUERY = "?task=digits&steps=2&seed=60"
GRAVE = ("serious", "critical")
COLOURS = ["color-contrast", "link-in-text-block"]  # the rules of axe that a theme can break


class Seen(NamedTuple):
    """What a window has done since it was opened."""

    under_way: set[Request]
    asked: list[str]
    logged: list[str]


@pytest.fixture(scope="module")
def seen(same_page: Page) -> Seen:
    page, asked, logged = same_page, [], []  # type: ignore[var-annotated]
    page.on("request", lambda request: asked.append(request.url))
    page.on("websocket", lambda socket: asked.append(socket.url))
    page.on("pageerror", lambda error: logged.append(str(error)))
    page.on("console", lambda message: logged.append(message.text) if message.type in ("error", "warning") else None)
    return Seen(unanswered(page), asked, logged)


@pytest.fixture(scope="module")
def opened(same_page: Page, seen: Seen, app: App) -> Page:
    """The page in its dark theme with a training on it, once for all tests."""
    open_page(same_page, app, f"{QUERY}&__theme=dark")
    same_page.click("#train")
    says(same_page, "Done.")
    return same_page


@pytest.fixture
def trained(opened: Page) -> Page:
    """That page, at the tab of the training."""
    tabs(opened)[0].click()
    return opened


def tabs(page: Page) -> list[Locator]:
    """The page's own tabs, by the names in their ids."""
    names = page.locator("#tabs [role=tab]").evaluate_all("all => [...new Set(all.map(tab => tab.textContent.trim()))]")
    assert "Train" in names
    return [page.get_by_role("tab", name=name, exact=True) for name in names]


FITTING = """() => [...document.querySelectorAll('.js-plotly-plot')].filter(chart => chart.clientWidth)
  .every(chart => Math.abs(chart._fullLayout?.width - chart.clientWidth) <= 1)"""


def open_tab(page: Page, tab: Locator, under_way: set[Request]) -> None:
    tab.click()
    expect(tab).to_have_attribute("aria-selected", "true")
    settle(page, under_way)
    page.wait_for_function(FITTING)  # charts of a tab are drawn when it is seen


def test_no_request_leaves_the_machine_and_nothing_is_logged(trained: Page, seen: Seen) -> None:
    for tab in tabs(trained):
        open_tab(trained, tab, seen.under_way)
    for script in ("plotly.min.js", *mended()):
        assert any(url.endswith(script) for url in seen.asked), script
    hosts = {urlsplit(url).hostname for url in seen.asked if urlsplit(url).scheme not in ("data", "blob")}
    assert hosts == {"127.0.0.1"}
    assert seen.logged == []
    expect(trained.locator(".modebar-btn")).to_have_count(0)  # Plotly's own "Share chart" is one of them


def test_axe_finds_nothing_serious_in_either_theme(trained: Page, seen: Seen) -> None:
    page, axe = trained, Axe()
    assert page.evaluate("document.body.classList.contains('dark')")
    open_menu(page, "spectrum")
    page.click("#spectrum [data-do=table]")
    unfold(page, "#b-more button")
    # Axe looks at the colours of a theme, not between two.
    page.add_style_tag(content="* { transition: none !important }")
    violations = []
    for tab in tabs(page):
        open_tab(page, tab, seen.under_way)
        for theme, rules in (("dark", {}), ("light", {"runOnly": COLOURS})):
            page.evaluate("dark => document.body.classList.toggle('dark', dark)", theme == "dark")
            settle(page, seen.under_way)
            violations += grave(axe, page, f"{tab.inner_text()}, {theme}", rules)
    page.set_viewport_size({"width": 390, "height": 844})
    settle(page, seen.under_way)
    violations += grave(axe, page, "a phone, light", {"runOnly": COLOURS})
    page.set_viewport_size({"width": 1280, "height": 720})
    assert not violations, "\n".join(violations)


def grave(axe: Axe, page: Page, where: str, rules: dict[str, Any]) -> list[str]:
    """The serious violations that axe finds."""
    result = axe.run(page, options={"resultTypes": ["violations", "passes"], **rules}).response
    assert result["passes"]
    return [
        f"{where}: {rule['id']}: {node['target']} {node['failureSummary']}"
        for rule in result["violations"]
        if rule["impact"] in GRAVE
        for node in rule["nodes"]
    ]


def test_every_tab_is_as_wide_as_the_window(trained: Page, seen: Seen) -> None:
    page, under_way = trained, seen.under_way
    for tab in tabs(page):
        page.set_viewport_size({"width": 1280, "height": 900})
        open_tab(page, tab, under_way)
        for width in (1280, 700, 390):
            page.set_viewport_size({"width": width, "height": 900})
            settle(page, under_way)
            page.wait_for_function(FITTING)
            assert page.evaluate("document.documentElement.scrollWidth") == width, (tab, width)
    page.set_viewport_size({"width": 1280, "height": 720})


CONTROLS = """() => {
  const kinds = 'a[href], button, input, select, textarea, summary, [role=tab], [role=button]';
  const all = [...document.querySelectorAll(kinds)];
  const seen = (node) => node.checkVisibility({visibilityProperty: true}) && node.getBoundingClientRect().width > 0;
  const own = (node) => !node.closest('.modebar') && node.tabIndex >= -1 && !node.disabled;
  return all.filter((node) => seen(node) && own(node) && !(node.type === 'radio' && !node.checked)
    && !(node.role === 'tab' && node.ariaSelected !== 'true') && !node.closest('[aria-hidden=true]'));
}"""


def test_every_control_is_reached_by_the_keyboard(trained: Page, seen: Seen) -> None:
    page = trained
    for tab in tabs(page):
        open_tab(page, tab, seen.under_way)
        page.evaluate(f"window.wanted = ({CONTROLS})()")
        page.evaluate("document.activeElement.blur()")
        page.evaluate("window.reached = new Set(); addEventListener('focusin', event => reached.add(event.target))")
        count = page.evaluate("window.wanted.length")
        for pressed in range(2 * count + 60):
            page.keyboard.press("Tab")
            if pressed + 1 >= count and page.evaluate("window.wanted.every(node => reached.has(node))"):
                break
        missed = "window.wanted.filter(node => !reached.has(node)).map(node => node.outerHTML.slice(0, 200))"
        assert page.evaluate(missed) == [], tab
    names = page.evaluate("[...reached].map(node => node.closest('[id]')?.id)")
    assert len(names) > 5


def test_numbers_and_pictures_of_a_chart_are_downloaded(trained: Page, app: App, tmp_path: Path) -> None:
    page = trained
    losses = [e["loss"] for e in app.stored(60)["lora:rank=4"].events if e["type"] == "Step"]
    rows = list(csv.reader(io.StringIO(saved(page, "learning", "csv", tmp_path).read_text())))
    drawn = [float(row[3]) for row in rows if row[0] == "LoRA r 4" and row[2].startswith("loss")]
    assert rows[0] == ["series", "training step", "y", "value"]
    assert all(any(value == pytest.approx(loss) for value in drawn) for loss in losses)
    page.click("#learning [data-do=table]")
    expect(page.locator("#learning-table tbody tr")).to_have_count(len(rows) - 1)
    expect(page.locator("#learning [data-do=table]")).to_have_attribute("aria-expanded", "true")
    for name in {row.chart.name for row in CHARTS} - {"weights", "answers"}:  # which are no figures
        assert saved(page, name, "svg", tmp_path).read_text().startswith("<svg")
        assert saved(page, name, "png", tmp_path).read_bytes().startswith(b"\x89PNG")
    assert chart(page, "learning", "chart => chart.isConnected")


def open_menu(page: Page, name: str) -> None:
    """Open what a chart has behind "more"."""
    page.locator(f"#{name} .live-more").evaluate("menu => menu.open = true")


def saved(page: Page, name: str, kind: str, folder: Path) -> Path:
    open_menu(page, name)
    with page.expect_download() as download:
        page.click(f"#{name} [data-do={kind}]")
    made: Download = download.value
    assert made.suggested_filename == f"{name}-chart.{kind}"
    made.save_as(folder / made.suggested_filename)
    return folder / made.suggested_filename


def test_train_is_pressed_without_a_mouse(trained: Page, app: App) -> None:
    page = trained
    fill(page, seed=61)
    page.focus("#tab-train-button")  # what stands before it is reached in the test above
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "train"
    page.keyboard.press("Enter")
    wait_until(lambda: len(app.stored(61)) == 2)
    says(page, "Done.")
