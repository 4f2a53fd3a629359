"""A task is one file and one row: what lists tasks takes them from TASKS."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import gradio as gr
import pytest

from neatlab.dashboard.ablate.tab import AblateTab
from neatlab.dashboard.inspect.request import order_upload, small_tasks
from neatlab.dashboard.links import Link
from neatlab.dashboard.shared.choices import offered_task, task_choices
from neatlab.dashboard.shared.context import Context
from neatlab.dashboard.shared.jobs import Jobs
from neatlab.dashboard.sweeps.request import SweepOrder
from neatlab.dashboard.train.tab import TrainTab
from neatlab.dashboard.understand.request import ContainsOrder
from neatlab.errors import BadInput
from neatlab.runs.store import Store
from neatlab.tasks import TASKS, TaskSpec
from neatlab.tasks.teacher import Teacher
from tests.test_readme import ROOT

TEXT = "toy:d_in=8,d_out=8"


class Toy(Teacher):
    """A task that nobody lists."""

    title: ClassVar[str] = "a toy"
    choices: ClassVar[Mapping[str, Mapping[str, Any]]] = {"toy, on eight inputs": {"d_in": 8, "d_out": 8}}


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> TaskSpec:
    monkeypatch.setitem(TASKS, "toy", Toy)
    return TaskSpec("toy", {"d_in": 8, "d_out": 8})


@pytest.fixture
def lab(runs: Path) -> Iterator[Context]:
    jobs = Jobs(runs, at_once=1)
    yield Context(Store(runs), jobs)
    jobs.close()


def test_the_page_offers_a_new_row(toy: TaskSpec) -> None:
    assert task_choices()["toy, on eight inputs"] == TEXT
    assert offered_task(TEXT) == toy
    assert ContainsOrder.check(TEXT, 4).task == toy
    offered = {"task": TEXT, "ablate_task": TEXT, "contains": TEXT}
    assert Link.text("?" + "&".join(f"{name}={text}" for name, text in offered.items())).said() == offered
    sweep = SweepOrder.check(TEXT, "neat:rank=2", {"depth": [2]}, {"seeds": 1, "steps": 3})
    assert {run.spec.label for run in sweep.runs()} == {TEXT}


def test_the_inspector_scales_a_new_row_and_takes_it_as_a_base(toy: TaskSpec, tmp_path: Path) -> None:
    assert "toy" in small_tasks()
    (tmp_path / "a.zip").touch()
    assert order_upload(str(tmp_path), [{"path": str(tmp_path / "a.zip")}], TEXT).base == toy


@pytest.mark.parametrize("tab", [TrainTab, AblateTab])
def test_a_form_lists_a_new_row(tab: Any, toy: TaskSpec, lab: Context) -> None:
    with gr.Blocks() as page:
        tab(lab)
    lists = [block.choices for block in page.blocks.values() if isinstance(block, gr.Dropdown)]
    assert any(("toy, on eight inputs", TEXT) in choices for choices in lists)


def test_a_task_that_is_no_row_is_refused_everywhere(tmp_path: Path) -> None:
    for refuse in (
        lambda: offered_task(TEXT),
        lambda: Link.text(f"?task={TEXT}"),
        lambda: TaskSpec.parse(TEXT).load(),
        lambda: order_upload(str(tmp_path), [], TEXT),
    ):
        with pytest.raises(BadInput):
            refuse()


def test_the_documentation_names_every_row() -> None:
    text = (ROOT / "docs" / "tasks.md").read_text(encoding="utf-8")
    assert [name for name in TASKS if f"| `{name}` |" not in text] == []
