"""A loop that is not ours, and what it says of itself: its run begun or taken up again, its steps, scores and end."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, get_args

from torch import nn

from neatlab.errors import BadInput
from neatlab.events import Evaluated
from neatlab.experiments.outside import Recording, begin, go_on, unfinished
from neatlab.experiments.outside_model import OutsideModel
from neatlab.runs.outside import OutsideOptions, OutsideRun, OutsideTraining, new_id
from neatlab.runs.store import Store
from neatlab.runtime import distributed
from neatlab.runtime.files import PathLike
from neatlab.tasks.base import Split

WHO = "NeatlabCallback"


class Judged(NamedTuple):
    """What a training is judged by; the direction is None where the name says it: of a loss, less is better."""

    metric: str
    higher_is_better: bool | None


class OutsideLoop:
    """The methods that a loop of one's own calls; `NeatlabCallback` says what the arguments are.

    Attributes:
        run_id: The run that is written; None before the first, and in processes that do not write.
    """

    def __init__(
        self,
        runs: PathLike = "runs",
        every: int | None = None,
        *,
        name: str | None = None,
        metric: str | None = None,
        higher_is_better: bool | None = None,
    ) -> None:
        if every is not None and (isinstance(every, bool) or not isinstance(every, int) or every < 1):
            raise BadInput(f"{WHO}: every={every!r}; allowed: a number of steps from 1, or None")
        self._runs, self._every, self._name = Path(runs), every, name
        self._judged = Judged(metric or "", higher_is_better)
        self._recording: Recording | None = None
        self._steps = 0
        self.run_id: str | None = None

    def begin(
        self,
        model: nn.Module,
        *,
        steps: int = 0,
        lr: float = 0.0,
        batch_size: int = 0,
        seed: int = 0,
        run_id: str | None = None,
        done: int = 0,
    ) -> None:
        """The loop begins; of several processes the main one writes.

        Args:
            model: With its adapter; wrapped by accelerate or not.
            steps: Optimiser steps that are planned.
            lr: Peak learning rate.
            batch_size: Examples a step.
            seed: Seed of the training.
            run_id: The `run_id` of a training that was cut off and goes on here.
            done: Steps done before.

        Raises:
            BadInput: An adapter whose ΔW is not known, a value out of range, or a run that cannot go on.
            StoreError: The runs folder cannot be written.
        """
        self._recording, self._steps = None, done
        if not distributed.is_main():
            return
        if run_id is not None and unfinished(Store(self._runs), run_id) is None:
            raise BadInput(f"{WHO}: {self._runs} holds no run {run_id!r} from outside that could go on")
        training = {"steps": steps, "lr": lr, "head_lr": lr, "batch_size": batch_size}
        self._start(model, training, seed, self._judged._replace(metric=self._judged.metric or "loss"), run_id)

    def step(self, loss: Any, lr: float = 0.0) -> None:
        """One optimiser step is done.

        Args:
            loss: Its loss; a tensor is read, which waits for a GPU.
            lr: The learning rate.
        """
        self._steps += 1
        if self._recording is not None:
            self._recording.step(self._steps, float(loss), lr)
            self._recording.spectra(self._steps)

    def evaluated(self, loss: Any, metric: Any = None, split: Split = "validation") -> None:
        """A split was scored.

        Args:
            loss: Its loss.
            metric: Its metric; the loss by default.
            split: "validation", or "test", which may come after `end` too.

        Raises:
            BadInput: Another split.
        """
        if split not in get_args(Split)[1:]:
            raise BadInput(f"{WHO}: split={split!r}; allowed: {', '.join(get_args(Split)[1:])}")
        if self._recording is not None:
            score = float(loss if metric is None else metric)
            self._recording.evaluated(Evaluated(self._steps, split, float(loss), score))

    def end(self) -> None:
        """All steps are done: writes the adapter and the summary."""
        if self._recording is not None:
            self._recording.finish(self._steps)

    def _start(self, model: nn.Module, training: Mapping[str, Any], seed: int, judged: Judged, run_id: object) -> None:
        """Go on with a run that has not ended, or begin one."""
        store, read = Store(self._runs), OutsideModel(model, fresh=self._steps == 0)
        if (run := unfinished(store, run_id)) is not None:
            self._recording = go_on(store, run, read, self._steps)
        else:
            settings = {**training, "spectrum_every": self._every or 0, "device": read.device}
            self._recording = begin(store, read, self._config(read, settings, seed, judged), self._steps)
        self.run_id = self._recording.config.run_id

    def _config(self, model: OutsideModel, training: Mapping[str, Any], seed: int, judged: Judged) -> OutsideRun:
        metric, higher = judged
        about = {
            "name": self._name or model.name,
            "model": model.base,
            "metric": metric,
            "higher_is_better": not metric.endswith("loss") if higher is None else higher,
        }
        run = {
            "id": new_id(),
            "task_options": OutsideOptions.parse(about, WHO).model_dump(),
            "arm": model.arm,
            "training": OutsideTraining.parse(training, WHO),
            "seed": seed % 2**32,
        }
        return OutsideRun.parse(run, WHO)
