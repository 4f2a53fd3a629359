"""Every point of a grid: arms, tasks and training settings with the values of its axes."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

from neatlab.adapters.methods import METHODS
from neatlab.config import Arm, make_arm
from neatlab.errors import BadInput, unknown
from neatlab.tasks import TaskSpec

Axes = Mapping[str, Sequence[Any]]

TASK_AXIS = "task."
TRAINING_AXES = ("train_size",)  # fields of `TrainingConfig`


class Owners(NamedTuple):
    """A grid's axes by what they vary."""

    arms: Axes
    task: Axes
    training: Axes

    @classmethod
    def of(cls, grid: Axes) -> Self:
        """Sort a grid's axes."""
        of_task = {axis: values for axis, values in grid.items() if axis.startswith(TASK_AXIS)}
        of_training = {axis: grid[axis] for axis in TRAINING_AXES if axis in grid}
        return cls({a: v for a, v in grid.items() if a not in {*of_task, *of_training}}, of_task, of_training)


def expand(arms: Sequence[Arm], axes: Axes) -> list[Arm]:
    """Every arm at every point of the grid, once each."""
    points = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    return list({arm.label: arm for base in arms for point in points for arm in [_varied(base, point)]}.values())


def _varied(arm: Arm, point: Mapping[str, Any]) -> Arm:
    method = str(point.get("method", arm.method))
    if method not in METHODS:
        raise unknown("arm", method, METHODS)
    changes = {axis: value for axis, value in point.items() if axis != "method"}
    allowed = [*METHODS[method].options.model_fields, "lr"]
    for axis in changes:
        if axis not in allowed:
            raise unknown(f"axis of arm {method!r}", axis, [*allowed, "method", *TRAINING_AXES, f"{TASK_AXIS}OPTION"])
    shared = arm.given() if method == arm.method else {n: v for n, v in arm.given().items() if n in allowed}
    return make_arm(method, {**shared, **changes})


def varied_tasks(task: TaskSpec, axes: Axes) -> list[TaskSpec]:
    """The task at every point of the axes over its options."""
    names = [axis.removeprefix(TASK_AXIS) for axis in axes]
    points = itertools.product(*axes.values())
    return [task.varied(dict(zip(names, values, strict=True))) for values in points]


def varied_training(training: Mapping[str, Any], axes: Axes) -> list[dict[str, Any]]:
    """The training settings at every point of the axes over them.

    Raises:
        BadInput: A setting that is given already.
    """
    for axis in axes.keys() & training.keys():
        raise BadInput(f"{axis} is an axis of the grid and a training setting; give it once")
    points = itertools.product(*axes.values())
    return [{**training, **dict(zip(axes, values, strict=True))} for values in points]
