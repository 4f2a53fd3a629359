"""What the tests of the Inspect tab share: a store of small runs, uploads, and processes that run here."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from neatlab.config import make_run, parse_arm
from neatlab.dashboard.inspect import act_worker
from neatlab.dashboard.inspect import worker as inspect_worker
from neatlab.dashboard.inspect.request import FieldError, InspectionProgress, InspectionResult, InspectOrder
from neatlab.dashboard.inspect.tab import InspectTab
from neatlab.dashboard.shared.context import Context
from neatlab.runs.run import Run
from neatlab.runs.store import Store
from tests.awaiting import awaited
from tests.dashboard_runs import four_runs, trained

LAYER = "layers.0.linear"
FILES = ("adapter_config.json", "adapter_model.safetensors")


def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where Gradio keeps uploads, and where this module's processes would nice themselves."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "served"))
    for worker in (inspect_worker, act_worker):
        monkeypatch.setattr(worker, "begin", lambda: None)
    monkeypatch.setattr(inspect_worker.tempfile, "tempdir", None)
    (tmp_path / "served").mkdir()
    return tmp_path / "served"


def make_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    found = four_runs(tmp_path_factory.mktemp("runs"))
    (run,) = trained(found, make_run("digits", parse_arm("head"), 0, {}, {"steps": 1}))
    assert run.status == "finished"
    return found


def of(store: Store, method: str, seed: int = 0) -> Run:
    return next(run for run in store.runs() if (run.config.arm.method, run.config.seed) == (method, seed))


class Pipe:
    """What a process says."""

    def __init__(self) -> None:
        self.said: list[Any] = []

    def send(self, message: Any) -> None:
        self.said.append(message)


def inspected(store: Store, order: InspectOrder, folder: Path) -> list[Any]:
    pipe: Any = Pipe()
    folder.mkdir(exist_ok=True)
    inspect_worker.inspect(order._replace(target=str(folder)), str(store.root), pipe)
    return list(pipe.said)


def found_in(store: Store, order: InspectOrder, folder: Path) -> InspectionResult:
    *progress, (kind, found) = inspected(store, order, folder)
    assert kind == "result" and isinstance(found, InspectionResult), found
    assert progress and all(isinstance(values[0], InspectionProgress) for _, *values in progress)
    return found


def refused(store: Store, order: InspectOrder, folder: Path) -> tuple[str, str]:
    (kind, place, said) = inspected(store, order, folder)[-1]
    assert kind == "refused"
    assert list(folder.iterdir()) == []  # nothing half-written, nothing unpacked is left
    return place, said


def uploaded(served: Path, name: str, content: bytes) -> dict[str, str]:
    folder = served / f"{len(list(served.iterdir())):064x}"
    folder.mkdir()
    (folder / name).write_bytes(content)
    return {"path": str(folder / name)}


class FakeJobs:
    """Jobs that run in this process, at once."""

    def __init__(self, store: Store) -> None:
        self.store, self.words, self.orders = store, [], []  # type: ignore[var-annotated]

    def submit(self, entry: str, order: Any, brief: bool = False, **_: Any) -> Any:
        self.orders.append(order)
        job = SimpleNamespace(
            phase="preparing", result=None, refusal=None, touch=lambda: setattr(job, "phase", "ended")
        )
        pipe: Any = Pipe()
        module, _, function = entry.partition(":")
        getattr(import_module(module), function)(order, str(self.store.root), pipe)
        kind, *values = pipe.said[-1]
        if kind == "result":
            job.result = values[0]
        else:
            job.refusal = FieldError(values[0], values[1])
            job.refusal.field = values[0]  # type: ignore[attr-defined]
        return job

    def position(self, job: Any) -> int:
        return 0

    def send(self, job: Any, word: str) -> None:
        self.words.append(word)


def make_tab(store: Store, tmp_path: Path) -> Iterator[InspectTab]:
    jobs: Any = FakeJobs(store)
    with gr.Blocks() as demo:
        made = InspectTab(Context(store, jobs, tmp_path))
        made.connect(demo)
    yield made
    made._close(visit("w"))


def visit(window: str) -> Any:
    return SimpleNamespace(session_hash=window)


def every(stream: Any) -> list[list[Any]]:
    async def gather() -> list[list[Any]]:
        return [values async for values in stream]

    return awaited(gather())
