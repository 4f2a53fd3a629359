"""Runs on data of one's own outlive the data: what was trained is exported and inspected without it."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import torch
from PIL import Image
from torch import Tensor

from neatlab import cli
from neatlab.dashboard.inspect import worker as inspect_worker
from neatlab.dashboard.inspect.request import InspectionResult, InspectOrder, ScaleOrder
from neatlab.dashboard.runs import worker as runs_worker
from neatlab.errors import BadInput
from neatlab.experiments.compare import compare
from neatlab.experiments.execute import execute
from neatlab.experiments.trained import load_trained
from neatlab.export.adapters import export
from neatlab.inspection.causal import Slider
from neatlab.inspection.runs import compare_runs, inspect_run
from neatlab.runs.run import Run
from neatlab.runs.store import Store
from neatlab.tasks import load_task
from tests.folders import bert_folder, llama_folder, roberta_folder, vit_folder

ARMS = {"neat": ("neat", "peanut", "lora", "merged"), "lora": ("lora", "neat", "merged"), "full": ("merged",)}
WORDS = ("good", "bad", "dull")
GONE = "that this run was made with is gone; only training and measuring need it"


def moods(folder: Path) -> Path:
    rows = [{"review": f"a {WORDS[i % 3]} day {i}", "mood": i % 3} for i in range(30)]
    pd.DataFrame(rows).to_csv(folder / "data.csv", index=False)
    return folder / "data.csv"


def scores(folder: Path) -> Path:
    pd.DataFrame([{"text": f"day {i}", "label": i / 10} for i in range(30)]).to_csv(folder / "data.csv", index=False)
    return folder / "data.csv"


def pictures(folder: Path) -> Path:
    for level in range(5):
        (folder / "images" / f"grey{level}").mkdir(parents=True)
        for i in range(6):
            Image.new("L", (20, 20), 40 * level + i).save(folder / "images" / f"grey{level}" / f"{i}.png")
    return folder / "images"


KINDS: dict[str, tuple[Any, Any, str]] = {  # name → model, data, further options
    "labels": (bert_folder, moods, ""),
    "trained-labels": (lambda: bert_folder(("0", "1", "2")), moods, ""),
    "roberta": (roberta_folder, moods, ""),
    "score": (bert_folder, scores, ",metric=pearson"),
    "images": (vit_folder, pictures, ""),
    "language": (llama_folder, moods, ",kind=language,text=review,label=mood,max_length=32"),
}


def made(kind: str, folder: Path, arms: list[str]) -> tuple[list[Run], list[dict[str, Tensor]]]:
    """Runs, and the weights of each before its data went."""
    model, data, options = KINDS[kind]
    path = data(folder)
    task = f"custom:model={model()},data={path}{options}"
    runs = compare(task, arms, seeds=1, steps=2, runs=folder / "runs", training={"batch_size": 4}).runs
    weights = [load_trained(run).model.state_dict() for run in runs]
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    return runs, weights


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """A run of each of ARMS, whose data is gone."""
    return made("labels", tmp_path_factory.mktemp("labels"), [f"{m}:rank=2" if m != "full" else m for m in ARMS])[0]


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """What a worker that runs here says, under `said`."""
    for worker in (runs_worker, inspect_worker):
        monkeypatch.setattr(worker, "begin", lambda: None)
    monkeypatch.setattr(inspect_worker.tempfile, "tempdir", None)
    said: list[Any] = []
    return SimpleNamespace(send=said.append, said=said)


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_is_loaded_with_the_weights_that_it_had(kind: str, tmp_path: Path) -> None:
    runs, before = made(kind, tmp_path, ["neat:rank=2", *(["head"] if kind != "language" else [])])
    for run, weights in zip(runs, before, strict=True):
        after = load_trained(run).model.state_dict()
        assert after.keys() == weights.keys()
        assert all(torch.equal(after[name], weight) for name, weight in weights.items())


@pytest.mark.parametrize(("method", "format"), [(m, format) for m, formats in ARMS.items() for format in formats])
def test_every_format_is_exported(labels: list[Run], method: str, format: str, pipe: Any, tmp_path: Path) -> None:
    run = next(run for run in labels if run.config.arm.method == method)
    assert max(export(run, format, tmp_path / "python").values(), default=0) < 1
    command = ["export", run.run_id, "--format", format, "--out", str(tmp_path / "cli")]
    assert cli.main([*command, "--runs", str(run.path.parent)]) == 0
    runs_worker.write((run.run_id, format, str(tmp_path / "page.zip")), str(run.path.parent), pipe)
    assert pipe.said == []
    shutil.unpack_archive(tmp_path / "page.zip", tmp_path)
    for folder in ("python", "cli", f"{run.run_id}-{format}"):
        assert list((tmp_path / folder).glob("*model.safetensors")), folder


def test_runs_are_inspected_and_compared(labels: list[Run], pipe: Any, tmp_path: Path) -> None:
    assert len(compare_runs(labels).inspections) == len(ARMS)
    wanted = inspect_run(labels[0]).frame()
    order = InspectOrder(runs=(labels[0].run_id,), target=str(tmp_path))
    inspect_worker.inspect(order, str(labels[0].path.parent), pipe)
    kind, found = pipe.said[-1]
    assert kind == "result" and isinstance(found, InspectionResult)
    assert found.layers["norm"].tolist() == wanted["norm"].tolist()


def test_only_what_needs_the_data_is_refused(labels: list[Run], pipe: Any, tmp_path: Path) -> None:
    run = labels[0]
    with pytest.raises(BadInput, match=GONE) as refused:
        Slider(run).scale("all", [0.0])
    inspect_worker.scale(ScaleOrder(run.run_id, 1, None), str(run.path.parent), pipe)
    assert pipe.said == [("refused", "scale", str(refused.value))]
    with pytest.raises(BadInput, match=GONE):
        next(iter(execute(run.config, Store(tmp_path))))


@pytest.mark.parametrize("gone", ["data", "test"])
def test_a_new_run_on_a_missing_file_is_refused_in_one_line(tmp_path: Path, gone: str) -> None:
    files = {"data": moods(tmp_path), "test": tmp_path / "other.csv"} | {gone: tmp_path / "gone.csv"}
    with pytest.raises(BadInput, match=r"no file or folder '[^']*gone\.csv'$"):
        load_task("custom", {"model": bert_folder(), **{name: str(path) for name, path in files.items()}})
