"""The committed notebooks are clean and lead somewhere, and their helper keeps its word; nbmake runs each of them."""

import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import plotly.io as pio
import pytest
from nbformat import NotebookNode

from neatlab import notebook
from neatlab.dashboard.shared.presets import PRESETS
from neatlab.errors import BadInput
from neatlab.plots.theme import new_figure

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
MOST_CELLS = 25


@pytest.fixture(autouse=True)
def shown(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What a notebook would show; the renderer that `begin` sets is put back."""
    found: list[str] = []
    before = pio.renderers.default
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # begin sets it where nobody has
    monkeypatch.setattr(notebook, "display", lambda content: found.append(content.data))
    yield found
    pio.renderers.default = before


def names(path: Path) -> str:
    return path.stem


@pytest.fixture(params=NOTEBOOKS, ids=names)
def lesson(request: pytest.FixtureRequest) -> NotebookNode:
    return nbformat.read(request.param, as_version=nbformat.NO_CONVERT)


def code(lesson: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in lesson.cells if cell.cell_type == "code"]


def test_the_lessons_are_numbered_from_one() -> None:
    assert [path.name[:2] for path in NOTEBOOKS] == [f"{i:02d}" for i in range(1, len(NOTEBOOKS) + 1)]
    assert NOTEBOOKS


def test_no_outputs_are_committed(lesson: NotebookNode) -> None:
    for cell in code(lesson):
        assert cell.outputs == [] and cell.execution_count is None


def test_the_format_is_the_current_one_with_stable_ids(lesson: NotebookNode) -> None:
    nbformat.validate(lesson)
    assert (lesson.nbformat, lesson.nbformat_minor) == (4, 5)
    assert [cell.id for cell in lesson.cells] == [f"cell-{i:02d}" for i in range(1, len(lesson.cells) + 1)]
    assert lesson.metadata.kernelspec.name == "python3"


def test_a_lesson_is_short_and_begins_and_ends_with_prose(lesson: NotebookNode) -> None:
    assert len(lesson.cells) < MOST_CELLS
    assert lesson.cells[0].cell_type == lesson.cells[-1].cell_type == "markdown"


def test_the_first_cell_helps_where_the_import_fails(lesson: NotebookNode) -> None:
    first = lesson.cells[0].source
    for part in ("No module named 'neatlab'", "make app", "`%pip install -e ..`", "colab", "mybinder", "tag `v"):
        assert part in first, part
    assert (FOLDER / ".." / "pyproject.toml").is_file(), "what `-e ..` installs from here"


def test_no_cell_installs_a_bare_name_that_an_index_may_give_to_somebody_else(lesson: NotebookNode) -> None:
    for cell in lesson.cells:
        assert not re.search(r"pip install (-\S+ )*['\"]?neatlab(?!\S* @ git\+URL)", cell.source), cell.id


def test_a_lesson_links_to_presets_of_the_dashboard(lesson: NotebookNode) -> None:
    prose = "\n".join(cell.source for cell in lesson.cells if cell.cell_type == "markdown")
    found = re.findall(r"\(http://127\.0\.0\.1:7860/\?tab=(\w+)&preset=([\w-]+)\)", prose)
    assert found and {tab for tab, _ in found} == {"train"}
    assert {preset for _, preset in found} <= set(PRESETS)


def test_links_between_lessons_lead_to_files(lesson: NotebookNode) -> None:
    prose = "\n".join(cell.source for cell in lesson.cells if cell.cell_type == "markdown")
    for target in re.findall(r"\]\(([\w./]+\.ipynb)\)", prose):
        assert (FOLDER / target).is_file(), target


def test_a_lesson_asserts_and_ends_in_exercises(lesson: NotebookNode) -> None:
    sources = [cell.source for cell in code(lesson)]
    assert sum("assert " in source for source in sources) >= 3
    assert sum("check(" in source for source in sources) >= 2


def test_what_is_claimed_is_checked_at_the_small_size_too(lesson: NotebookNode) -> None:
    for cell in code(lesson):
        assert "lesson.small" not in cell.source, f"{cell.id}: sizes differ by lesson.pick, claims do not"


def test_the_installed_version_is_the_one_that_the_first_cell_names(lesson: NotebookNode) -> None:
    from neatlab import __version__

    first = lesson.cells[0].source
    assert f"tag `v{__version__}`" in first and f"git+URL@v{__version__}`" in first
    assert set(re.findall(r"git\+URL@v([\d.]+)", first)) == {__version__}


def test_one_variable_sets_the_size(monkeypatch: pytest.MonkeyPatch) -> None:
    for size, value in (("small", 1), ("full", 2)):
        monkeypatch.setenv(notebook.SIZE, size)
        assert notebook.begin().pick(full=2, small=1) == value
    monkeypatch.delenv(notebook.SIZE)
    assert not notebook.begin().small


def test_another_size_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(notebook.SIZE, "smal")
    with pytest.raises(BadInput, match="small"):
        notebook.begin()


def test_plotly_is_put_into_the_page_once_and_figures_ask_for_nothing_else(shown: list[str]) -> None:
    notebook.begin()
    (page,) = shown
    assert "plotly.js v" in page
    html = notebook.Offline().to_mimebundle(new_figure(["x", "y"]).to_dict())["text/html"]
    assert "<script src" not in html and "cdn" not in html and "sendChartToCloud" in html


@pytest.mark.parametrize(
    ("answer", "expected", "words"),
    [
        (None, 3, "Not answered yet"),
        (3, 3, "Right"),
        (3.02, 3, "Right"),
        (3.2, 3, "Not 3.2"),
        (0, 0.0, "Right"),
        (" LoRA", "lora", "Right"),
        ("neat", "lora", "Not neat"),
        ("3", 3, "Right"),
    ],
)
def test_an_answer_is_checked(answer: float | str | None, expected: float | str, words: str, shown: list[str]) -> None:
    notebook.check(answer, expected, "Think of B.")
    (text,) = shown
    assert words in text
    assert ("Think of B." in text) == (words in ("Not 3.2", "Not neat"))
