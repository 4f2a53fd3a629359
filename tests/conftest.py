"""Shared set-up: one torch thread, so that tests run the same beside others on two cores; and the marks are true."""

import gc
import os
import platform
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from multiprocessing import util
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NoReturn

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # two processes with two threads each would wait for one another
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadFileScheduling

settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")  # a busy machine is slow, not wrong

# Folders of tests and a package that they need: `make integrations-test` has them, and fails where it finds no test.
NEEDED = {"quantised": "bitsandbytes", "loops": "trl"}
collect_ignore = [folder for folder, package in NEEDED.items() if find_spec(package) is None]

# torch and Plotly are imported by the fixtures: the process that only hands out the tests needs neither.

platform.processor()  # asks the system's `uname` once, which every run's `environment` does
STARTING = ("browser", "cluster", "process")  # the marks of tests that start processes


class LoadApps(LoadFileScheduling):  # type: ignore[misc]
    """A file's tests go to one process, and so do all those that share the apps of `tests/doors`."""

    def _split_scope(self, nodeid: str) -> str:
        path: str = super()._split_scope(nodeid)
        return str(Path(path).parent) if path.startswith("tests/doors/") else path


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadApps:
    return LoadApps(config, log)


def pytest_collection() -> None:
    gc.disable()


def pytest_collection_finish() -> None:
    """What the files of the tests import stays: the collector need not look through it again and again."""
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that start processes first: they take longest, and what is last should be short where several work."""
    begins = {item.path for item in items if any(item.get_closest_marker(mark) for mark in STARTING)}
    browses = {item.path for item in items if item.get_closest_marker("browser")}
    # Notebooks and clusters, then browsers, under which an event loop runs from then on.
    items.sort(key=lambda item: (item.path not in begins, item.path in browses))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Let only those tests and their fixtures start a process that are marked so: `make fast` leaves these out."""
    if any(item.get_closest_marker(mark) for mark in STARTING):
        return (yield)

    def refuse(*_: Any, **__: Any) -> NoReturn:
        pytest.fail(f"{item.nodeid} starts a process and is not marked {', '.join(STARTING)}")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess.Popen, "__init__", refuse)
        patch.setattr(BaseProcess, "start", refuse)
        patch.setattr(util, "spawnv_passfds", refuse)  # the server that processes are forked from
        return (yield)


@pytest.fixture(autouse=True)
def seeded() -> None:
    import torch

    torch.set_num_threads(1)
    torch.default_generator.manual_seed(0)  # `torch.manual_seed` takes a hundred times as long without a GPU


@pytest.fixture(autouse=True)
def validated(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package draws its figures unvalidated; here Plotly checks every one."""
    import plotly.graph_objects as go

    init = go.Figure.__init__
    monkeypatch.setattr(
        go.Figure, "__init__", lambda self, *given, _validate=True, **named: init(self, *given, **named)
    )


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """An empty runs folder."""
    return tmp_path / "runs"
