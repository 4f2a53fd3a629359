"""TASKS: every task that a run can name. One file a task, one row here."""

from collections.abc import Mapping
from typing import Any

from neatlab.tasks.arithmetic import Arithmetic
from neatlab.tasks.base import Score, Split, Task
from neatlab.tasks.custom.task import Custom
from neatlab.tasks.digits import Digits
from neatlab.tasks.facts import Facts
from neatlab.tasks.metrics import METRICS, Metric
from neatlab.tasks.teacher import Teacher
from neatlab.tasks.text import TextTask

TASKS: dict[str, type[Task]] = {
    "arithmetic": Arithmetic,
    "custom": Custom,
    "digits": Digits,
    "facts": Facts,
    "teacher": Teacher,
    "text": TextTask,
}


def load_task(name: str, options: Mapping[str, Any]) -> Task:
    """A task of the table, its data and base checkpoint not yet loaded.

    Raises:
        BadInput: Options that it does not have, or out of range.
    """
    row: Any = TASKS[name]
    return row(row.options.parse(options, f"task {name!r}"))


def metric_of(name: str, options: Mapping[str, Any]) -> Metric:
    """What a task of the table is judged by.

    Raises:
        BadInput: Options that it does not have, or out of range.
    """
    row: Any = TASKS[name]
    return row.metric_for(row.options.parse(options, f"task {name!r}"))


__all__ = ["METRICS", "TASKS", "Metric", "Score", "Split", "Task", "load_task", "metric_of"]
