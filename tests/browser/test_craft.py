"""What every tab owes to everyone: reachable, readable, as wide as the window, quiet, and nothing sent elsewhere."""

import csv
import io
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Download, Locator, Page, Request, expect

from neatlab.dashboard.train.charts import CHARTS
from tests.browser.conftest import App, chart, open_page, says, settle

pytestmark = pytest.mark.browser
QUERY = "?task=digits&steps=2&seed=60"
GRAVE = ("serious", "critical")
COLOURS = ["color-contrast", "link-in-text-block"]  # the rules of axe that a theme can break


def trained(page: Page, app: App, query: str = QUERY) -> Page:
    """The page with a training on it; from the second time on, the store's."""
    open_page(page, app, query) if not app.stored(60) else page.goto(app.url + query)
    expect(page.locator("#train")).to_be_enabled()
    page.click("#train")
    says(page, "Done.")
    return page


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


def test_axe_finds_nothing_serious_in_either_theme(page: Page, under_way: set[Request], app: App) -> None:
    trained(page, app, f"{QUERY}&__theme=dark")
    assert page.evaluate("document.body.classList.contains('dark')")
    page.locator("[data-do=table]").first.click()
    page.click("#b-more button")
    page.add_style_tag(
        content="* { transition: none !important }"
    )  # axe looks at the colours of a theme, not between two
    found = []
    for tab in tabs(page):
        open_tab(page, tab, under_way)
        for theme, rules in (("dark", {}), ("light", {"runOnly": COLOURS})):
            page.evaluate("dark => document.body.classList.toggle('dark', dark)", theme == "dark")
            settle(page, under_way)
            found += grave(page, f"{tab.inner_text()}, {theme}", rules)
    assert not found, "\n".join(found)


def grave(page: Page, where: str, rules: dict[str, Any]) -> list[str]:
    """The serious violations that axe finds."""
    result = Axe().run(page, options={"resultTypes": ["violations", "passes"], **rules}).response
    assert result["passes"]
    return [
        f"{where}: {rule['id']}: {node['target']} {node['failureSummary']}"
        for rule in result["violations"]
        if rule["impact"] in GRAVE
        for node in rule["nodes"]
    ]


def test_no_request_leaves_the_machine_and_nothing_is_logged(page: Page, under_way: set[Request], app: App) -> None:
    asked, logged = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("websocket", lambda socket: asked.append(socket.url))
    page.on("pageerror", lambda error: logged.append(str(error)))
    page.on("console", lambda message: logged.append(message.text) if message.type in ("error", "warning") else None)
    trained(page, app)
    page.hover("#learning-chart")
    expect(page.locator("#learning-chart .modebar-btn").first).to_be_attached()
    for tab in tabs(page):
        open_tab(page, tab, under_way)
    assert any(url.endswith("plotly.min.js") for url in asked)
    hosts = {urlsplit(url).hostname for url in asked if urlsplit(url).scheme not in ("data", "blob")}
    assert hosts == {"127.0.0.1"}
    assert logged == []
    assert not [n for n in page.locator(".modebar-btn").evaluate_all("b => b.map(x => x.ariaLabel)") if "hare" in n]


def test_every_tab_is_as_wide_as_the_window(page: Page, under_way: set[Request], app: App) -> None:
    trained(page, app)
    for tab in tabs(page):
        page.set_viewport_size({"width": 1280, "height": 900})
        open_tab(page, tab, under_way)
        for width in (1280, 700, 390):
            page.set_viewport_size({"width": width, "height": 900})
            settle(page, under_way)
            page.wait_for_function(FITTING)
            assert page.evaluate("document.documentElement.scrollWidth") == width, (tab, width)


CONTROLS = """() => {
  const kinds = 'a[href], button, input, select, textarea, summary, [role=tab], [role=button]';
  const all = [...document.querySelectorAll(kinds)];
  const seen = (node) => node.checkVisibility({visibilityProperty: true}) && node.getBoundingClientRect().width > 0;
  const own = (node) => !node.closest('.modebar') && node.tabIndex >= -1 && !node.disabled;
  return all.filter((node) => seen(node) && own(node) && !(node.type === 'radio' && !node.checked)
    && !(node.role === 'tab' && node.ariaSelected !== 'true') && !node.closest('[aria-hidden=true]'));
}"""


def test_every_control_is_reached_by_the_keyboard(page: Page, under_way: set[Request], app: App) -> None:
    trained(page, app)
    for tab in tabs(page):
        open_tab(page, tab, under_way)
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


def test_train_is_pressed_without_a_mouse(page: Page, app: App) -> None:
    open_page(page, app, "?task=teacher:kind=low-rank&steps=2&seed=61")
    page.focus("#c-method input")  # what stands before it is reached in the test above
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "train":
            break
    page.keyboard.press("Enter")
    says(page, "Done.")


def test_numbers_and_pictures_of_a_chart_are_downloaded(page: Page, app: App, tmp_path: Path) -> None:
    trained(page, app)
    losses = [e["loss"] for e in app.stored(60)["lora:rank=4"].events if e["type"] == "Step"]
    rows = list(csv.reader(io.StringIO(saved(page, "learning", "csv", tmp_path).read_text())))
    drawn = [float(row[3]) for row in rows if row[0] == "lora:rank=4" and row[2].startswith("loss")]
    assert rows[0] == ["series", "training step", "y", "value"]
    assert all(any(value == pytest.approx(loss) for value in drawn) for loss in losses)
    page.click("#learning [data-do=table]")
    expect(page.locator("#learning-table tbody tr")).to_have_count(len(rows) - 1)
    expect(page.locator("#learning [data-do=table]")).to_have_attribute("aria-expanded", "true")
    for name in (row.chart.name for row in CHARTS):
        assert saved(page, name, "svg", tmp_path).read_text().startswith("<svg")
        assert saved(page, name, "png", tmp_path).read_bytes().startswith(b"\x89PNG")
    assert chart(page, "learning", "chart => chart.isConnected")


def saved(page: Page, name: str, kind: str, folder: Path) -> Path:
    with page.expect_download() as download:
        page.click(f"#{name} [data-do={kind}]")
    made: Download = download.value
    assert made.suggested_filename == f"{name}-chart.{kind}"
    made.save_as(folder / made.suggested_filename)
    return folder / made.suggested_filename
