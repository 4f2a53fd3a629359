"""What a visitor may ask the server to train: one check for the form, the link and the API."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

from pydantic import Field

from neatlab.config import Arm, RunConfig, make_run, parse_arm
from neatlab.dashboard.shared.choices import PARTS, known_task, repeatable
from neatlab.dashboard.shared.field_error import FieldError
from neatlab.errors import BadInput
from neatlab.schema import Schema
from neatlab.tasks import TaskField, TaskSpec

if TYPE_CHECKING:
    from neatlab.experiments.plan import Plan

MIN_ARMS = 2  # on the page; the API takes one arm


class RunLimits(Schema):
    """What one visitor may ask of the machine that serves the page; longer runs belong on the command line."""

    steps: int | None = Field(None, ge=1, le=5000)
    batch_size: int | None = Field(None, ge=1, le=512)
    lr: float | None = Field(None, gt=0, le=100)
    seed: int = Field(0, ge=0, lt=2**32)
    match: Literal["rank", "params"] | None = None


class BaseProgress(NamedTuple):
    """How far the training of a task's own base is, which happens once.

    Args:
        what: Whose base it is.
        done: Steps done.
        total: Steps in all.
    """

    what: str
    done: int
    total: int


class Order(RunLimits):
    """Arms to train side by side, checked as far as that goes without a model.

    Args:
        task: One that the page offers, or the one that a window's upload stands for.
        arms: Labels of the arms.
        steps: Optimiser steps; None takes the task's default.
        batch_size: Examples a step; likewise.
        lr: Learning rate of every adapter that names none; likewise.
        seed: Seed of initialisation and data order.
        match: Which size the first arm sets for the others.
    """

    task: TaskField
    arms: tuple[str, ...]

    @classmethod
    def check(
        cls, task: Any, arms: Sequence[Arm], settings: Mapping[str, Any], uploads: Mapping[str, TaskSpec] | None = None
    ) -> Self:
        """The order, or why not.

        Args:
            task: Text of one that the page offers, or a key of `uploads`.
            arms: What to train.
            settings: Fields of RunLimits.
            uploads: Key → task, of the window that asks.

        Raises:
            FieldError: Says where the mistake is.
        """
        labels = [arm.label for arm in arms]
        for part, label in zip(PARTS, labels, strict=False):
            if labels.index(label) < PARTS.index(part):
                raise FieldError(part, f"arm {PARTS[labels.index(label)].upper()} is {label} too; change one of them")
        try:
            spec = known_task(task, uploads or {})
            limits = RunLimits.parse(settings, "this page").model_dump()
            for arm in arms:
                _run(spec, arm, limits)
        except BadInput as error:
            raise FieldError("run", str(error)) from None
        return cls(task=spec, arms=tuple(labels), **limits)

    def plan(self) -> "Plan":
        """The request for runs that this stands for; `match` builds the task's base model.

        Raises:
            BadInput: Arms that cannot be matched.
        """
        from neatlab.experiments.plan import Plan

        return Plan(self.task, self.arms, _training(self.model_dump()), None, self.match)

    def runs(self) -> list[RunConfig]:
        """The runs, where no arm's size depends on another's."""
        return [_run(self.task, parse_arm(arm), self.model_dump()) for arm in self.arms]

    @property
    def command(self) -> str:
        """The command that repeats it with three seeds."""
        words = [
            "python -m neatlab compare",
            f"--task {repeatable(self.task)}",
            *(f"--arm {arm}" for arm in self.arms),
        ]
        batch = None if self.batch_size is None else f"batch_size={self.batch_size}"
        given = {"steps": self.steps, "lr": self.lr, "match": self.match, "train": batch}
        words += [f"--{name} {value}" for name, value in given.items() if value is not None]
        return " ".join([*words, "--seeds 3"])


def _run(task: TaskSpec, arm: Arm, limits: Mapping[str, Any]) -> RunConfig:
    return make_run(task.name, arm, limits["seed"], task.options, _training(limits))


def _training(limits: Mapping[str, Any]) -> dict[str, Any]:
    return {name: limits[name] for name in ("steps", "batch_size", "lr")}
