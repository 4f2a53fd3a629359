"""TASKS: every task that a run can name. One file a task, one row here."""

from neatlab.tasks.base import Metric, Score, Split, Task
from neatlab.tasks.digits import Digits
from neatlab.tasks.teacher import Teacher

TASKS: dict[str, type[Task]] = {
    "digits": Digits,
    "teacher": Teacher,
}

__all__ = ["TASKS", "Metric", "Score", "Split", "Task"]
