"""README and the documentation show what is there."""

import re
import runpy
from pathlib import Path

import pytest

from neatlab.adapters.methods import METHODS
from neatlab.editing import ACTS
from neatlab.experiments.presets import SWEEPS
from neatlab.recipes import recipe_names
from neatlab.tasks import TASKS

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def code_spans(name: str) -> set[str]:
    return set(re.findall(r"`([^`\n]+)`", text(name)))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_picture_and_file_that_a_page_links_to_is_there(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert [name for name in links if not (page.parent / name).exists()] == []


def test_readme_is_short_and_leads_on() -> None:
    assert len(text("README.md").splitlines()) <= 150
    linked = re.findall(r"\]\((?:docs/)?([^)#:]+)\)", text("README.md") + text("docs/index.md"))
    assert {page.name for page in PAGES} - {"README.md", "index.md"} <= set(linked) | {"extending.md"}


def test_every_method_is_named() -> None:
    assert set(METHODS) <= code_spans("README.md")


def test_every_task_is_described() -> None:
    assert set(TASKS) == set(re.findall(r"^\| `(\w+)` \|", text("docs/tasks.md"), re.MULTILINE))


def test_presets_and_recipes_that_are_named_exist() -> None:
    pages = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert set(re.findall(r"--preset ([\w-]+)", pages)) <= set(SWEEPS)
    assert set(re.findall(r"--recipe ([\w/-]+)", pages)) <= set(recipe_names())


def test_the_peft_example_runs_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    layers = runpy.run_path(str(ROOT / "scripts" / "readme_example.py"))["run"]()
    assert len(layers) == 4
    assert {name.rpartition(".")[2] for name in layers} == {"q_proj", "v_proj"}


def test_every_act_is_described() -> None:
    assert set(ACTS) == set(re.findall(r"^\| `([\w-]+)` \|", text("docs/edit.md"), re.MULTILINE))
