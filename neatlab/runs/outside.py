"""The record of a training that neatlab only wrote down: what it says of itself, and a name that no run of ours has."""

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from pydantic import Field

from neatlab.config import Arm, RunConfig, TrainingConfig
from neatlab.errors import BadInput, StoreError
from neatlab.runs.jsonlines import parse_lines
from neatlab.schema import Schema
from neatlab.tasks.metrics import Metric
from neatlab.tasks.spec import TaskSpec

if TYPE_CHECKING:
    from neatlab.tasks.base import Task

OUTSIDE = "outside"
OUTSIDE_ID = r"x[0-9a-f]{11}"  # a run of ours is named by hexadecimal digits alone
PRINTABLE = r"^[^\p{C}]+$"


class OutsideOptions(Schema):
    """What is known of the data of such a training.

    Args:
        name: What was trained, for people; runs of one name, model and metric are drawn over each other.
        model: The base model: a folder, or its name on a hub; empty where it has none.
        metric: What the training is judged by.
        higher_is_better: The metric's direction.
    """

    name: str = Field(max_length=80, pattern=PRINTABLE)
    model: str = Field("", max_length=500)
    metric: str = Field("loss", max_length=60, pattern=PRINTABLE)
    higher_is_better: bool = False


class OutsideTraining(TrainingConfig):
    """How it was trained, as far as it said so; 0 stands for what it did not say.

    Args:
        steps: Optimiser steps that were planned.
        batch_size: Examples a step, of all processes together.
        lr: Peak learning rate.
        head_lr: The same.
        schedule: The rate's course, in the training's own words.
        eval_every: Steps between evaluations.
        spectrum_every: Steps between spectra; 0 where time decides.
        precision: Of the forward pass.
        device: Where the model lay.
    """

    steps: int = Field(0, ge=0)
    batch_size: int = Field(0, ge=0)
    lr: float = Field(0.0, ge=0)
    head_lr: float = Field(0.0, ge=0)
    weight_decay: float = 0.0
    schedule: str = Field("unknown", max_length=60)  # type: ignore[assignment]  # other loops have other schedules
    eval_every: int = Field(0, ge=0)
    spectrum_every: int = Field(0, ge=0)
    accumulate: int = Field(1, ge=1)
    precision: str = Field("float32", max_length=20)  # type: ignore[assignment]
    device: str = Field("cpu", max_length=40)  # type: ignore[assignment]


class OutsideSpec(TaskSpec):
    """The task of such a run, for those who only read: it has a name and a metric, and cannot be loaded."""

    @property
    def label(self) -> str:
        about = self._about
        return f"from outside: {about.name}, {about.metric}"

    @property
    def shown_options(self) -> dict[str, str]:
        return dict(self.options)

    @property
    def row(self) -> "type[Task]":
        from neatlab.tasks.outside import Outside  # not above: a list of runs needs no torch

        return Outside

    @property
    def metric(self) -> Metric:
        about = self._about
        return Metric(about.metric, "as the training gives it", about.higher_is_better)

    def load(self) -> NoReturn:
        raise BadInput(
            "this run is of a training outside neatlab, which has neither its model nor its data; allowed: its curves "
            "and spectra, inspect, edit and export"
        )

    @property
    def _about(self) -> OutsideOptions:
        return OutsideOptions.parse(self.options, "a run from outside")


class OutsideRun(RunConfig):
    """Configuration of a run that was trained outside neatlab. It repeats nothing: two of one configuration differ.

    Args:
        id: Its name, drawn at random when it began.
        arm: The method that its adapter is of, with the options that we know.
        task_options: As `OutsideOptions`.
    """

    id: str = Field(pattern=rf"^{OUTSIDE_ID}$")
    task: Literal["outside"] = "outside"
    arm: Arm
    training: OutsideTraining

    @property
    def spec(self) -> TaskSpec:
        return OutsideSpec(self.task, self.task_options)

    @property
    def run_id(self) -> str:
        return self.id

    @property
    def about(self) -> OutsideOptions:
        """What is known of its data."""
        return OutsideOptions.parse(self.task_options, "a run from outside")


def new_id() -> str:
    """A name for a run from outside."""
    return f"x{secrets.token_hex(6)[:11]}"


def parse_config(values: Mapping[str, Any]) -> RunConfig:
    """The configuration that a run's directory holds.

    Raises:
        BadInput: It is none.
    """
    kind = OutsideRun if isinstance(values, Mapping) and values.get("task") == OUTSIDE else RunConfig
    return kind.parse(values, "run")


def cut_events(run: Path, step: int) -> int:
    """Keep a run's events up to a step, in a new file: who still has the old one open writes into it no more.

    Args:
        run: Its directory.
        step: Steps done where it goes on.

    Returns:
        Bytes that are left.

    Raises:
        StoreError: The events are damaged, or cannot be written.
    """
    path = run / "events.jsonl"
    try:
        lines = path.read_bytes().split(b"\n")[:-1]  # a torn last line goes
        after = (at for at, event in enumerate(parse_lines(path, lines)) if int(event.get("step") or 0) > step)
        left = b"".join(line + b"\n" for line in lines[: next(after, len(lines))])
        temporary = path.with_suffix(".part")
        temporary.write_bytes(left)
        temporary.replace(path)
    except (OSError, TypeError, ValueError) as error:
        raise StoreError(f"run {run.name} cannot go on: {error}") from error
    return len(left)
