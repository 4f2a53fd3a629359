"""A notebook's exported page: figures appear without a network, in the colours of its theme."""

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Page, Request, expect

ROOT = Path(__file__).parents[2]
CELLS = (
    "from neatlab.notebook import begin\nfrom neatlab.plots.theme import new_figure\nlesson = begin()",
    "new_figure(['training step', 'loss']).add_scatter(x=[1, 2], y=[2, 1])",
)

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("notebook") / "tiny.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in CELLS]), path)
    convert("--to", "notebook", "--execute", "--inplace", str(path))
    return path


def convert(*arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", "nbconvert", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("theme", "colour"), [("light", "rgb(31, 41, 51)"), ("dark", "rgb(228, 231, 235)")])
def test_figures_appear_without_a_network_in_the_themes_colours(
    executed: Path, page: Page, theme: str, colour: str
) -> None:
    asked: list[str] = []

    def note(request: Request) -> None:
        asked.append(request.url)

    page.on("request", note)
    settings = ("--config", str(ROOT / "notebooks" / "page.json"), "--theme", theme, "--output", theme)
    convert("--to", "html", *settings, str(executed))
    page.goto((executed.parent / f"{theme}.html").as_uri())
    title = page.locator(".xtitle")
    expect(title).to_be_visible()
    expect(title).to_have_text("training step")
    expect(title).to_have_css("fill", colour)
    expect(page.locator(".modebar-btn").first).to_be_attached()
    assert "cloud" not in " ".join(page.locator(".modebar-btn").evaluate_all("all => all.map(b => b.dataset.title)"))
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
