"""A base that is trained first says how far it is: from the loop, through the training's process, to the status."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from neatlab.config import parse_arm
from neatlab.dashboard.shared.job import Job
from neatlab.dashboard.train import worker
from neatlab.dashboard.train.feed import Feed
from neatlab.dashboard.train.request import BaseProgress, Order
from neatlab.dashboard.train.time_left import TimeLeft
from neatlab.dashboard.train.window import TrainWindow
from neatlab.dashboard.train.words import before_first_step
from neatlab.runtime.progress import listening, report
from neatlab.tasks.pretraining import pretrain

ORDER = Order.check("teacher:kind=low-rank", [parse_arm("lora:rank=2"), parse_arm("neat:rank=2")], {"steps": 3})


class Pipe:
    """Keeps what is sent through it."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def send(self, message: Any) -> None:
        self.sent.append(message)


def test_the_loop_reports_each_step_to_whoever_listens_and_learns_the_same() -> None:
    said: list[tuple[str, int, int]] = []
    data = {"x": torch.arange(12.0)[:, None], "y": torch.arange(12.0)[:, None]}
    settings = {"steps": 4, "batch_size": 3, "lr": 0.1, "seed": 1}

    def trained() -> dict[str, torch.Tensor]:
        return dict(
            pretrain(
                "lines", lambda: nn.Linear(1, 1), lambda m, b: (m(b["x"]) - b["y"]).square().mean(), data, settings
            )
        )

    with listening(lambda *values: said.append(values)):
        heard = trained()
    assert said == [("base model of lines", step, 4) for step in range(4)]
    unheard = trained()
    assert len(said) == 4
    assert all(torch.equal(heard[name], unheard[name]) for name in heard)


def test_the_process_passes_it_on_before_its_runs(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe: Any = Pipe()
    monkeypatch.setattr(worker, "begin", lambda: None)
    monkeypatch.setattr(worker, "round_robin", lambda *_: [])
    monkeypatch.setattr(worker, "check", lambda configs: [report("base model of x", s, 12) for s in range(12)])
    worker.train(ORDER, str(runs), pipe)
    *progress, (kind, _) = pipe.sent
    assert progress == [("result", BaseProgress("base model of x", step, 12)) for step in (0, 5, 10)] * 2
    assert kind == "runs"


def test_the_status_says_how_far_it_is_and_what_is_left(runs: Path) -> None:
    times = iter([0.0, 10.0])
    job = Job("module:function", ORDER, False, 1, phase="preparing")
    window = TrainWindow(Feed(runs), order=ORDER, job=job, time_left=TimeLeft(lambda: next(times)))
    jobs: Any = None
    assert "Preparing: loading the base checkpoint." in before_first_step(window, jobs)
    job.result = BaseProgress("base model of facts", 100, 1000)
    assert "Training the base model of facts, once." in before_first_step(window, jobs)
    job.result = BaseProgress("base model of facts", 300, 1000)
    said = before_first_step(window, jobs)
    assert "Step 300 of 1000. About 35 s left." in said and 'value="300"' in said
