"""What is said of a task before it is trained."""

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from neatlab.runtime.distributed import world_size

if TYPE_CHECKING:
    from neatlab.tasks import TaskSpec


def describe(task: "TaskSpec", training: Mapping[str, Any]) -> None:
    """Say on standard error what the task's options left open and the data decided, and of own data how long it takes.

    Args:
        task: The task.
        training: Fields of `TrainingConfig`; where there are none, as of a recipe for a large GPU, no time is measured.
    """
    lines = task.load().describe()
    if task.name == "custom" and training and world_size() == 1:
        lines.append(_time_of_lora(task, training))
    for line in lines:
        print(f"neatlab: {line}", file=sys.stderr)


def _time_of_lora(task: "TaskSpec", training: Mapping[str, Any]) -> str:
    from neatlab.config import make_run, parse_arm
    from neatlab.experiments.timing import arm_time

    return arm_time(make_run(task.name, parse_arm("lora"), 0, task.options, training))
