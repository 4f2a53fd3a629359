"""The real app in a process of its own, asked over plain HTTP."""

import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.browser.conftest import App, serve
from tests.dashboard_runs import four_runs

WATCHED = Path(__file__).parent / "watched"


def watched(folder: Path) -> dict[str, str]:
    """Environment of a process whose clock goes back and that notes in this folder whom it asks."""
    return {
        "PYTHONPATH": os.pathsep.join([str(WATCHED), os.environ.get("PYTHONPATH", "")]),
        "NEATLAB_CALLS": str(folder / "calls"),
    }


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """An app on loopback without a password, whose folder holds four runs that none of its windows has made."""
    folder = tmp_path_factory.mktemp("doors")
    four_runs(folder / "runs")
    with serve(folder, "--trainings", "2", "--trust-host", "lab.example.org") as served:
        yield served


@pytest.fixture
def http(server: App) -> Iterator[httpx.Client]:
    """A caller without cookies."""
    with httpx.Client(base_url=server.url, timeout=120) as client:
        yield client


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """An app whose runs are everybody's, with little memory for uploads, and whose clock goes back.

    Whatever the tests do with it, it asks no other machine for anything.
    """
    folder = tmp_path_factory.mktemp("shared")
    four_runs(folder / "runs")
    with serve(folder, "--shared-runs", "--memory", "0.005", **watched(folder)) as served:
        yield served
    assert not (folder / "calls").exists(), (folder / "calls").read_text()
