"""Shared set-up: one torch thread, so that tests run the same beside others on two cores."""

import os
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # two processes with two threads each would wait for one another
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import plotly.graph_objects as go
import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)
settings.register_profile("neatlab", deadline=None)  # a busy machine is slow, not wrong
settings.load_profile("neatlab")


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def validated(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package draws its figures unvalidated; here Plotly checks every one."""
    init = go.Figure.__init__
    monkeypatch.setattr(
        go.Figure, "__init__", lambda self, *given, _validate=True, **named: init(self, *given, **named)
    )


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """An empty runs folder."""
    return tmp_path / "runs"
