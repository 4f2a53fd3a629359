"""What adapters are trained on: a frozen base model, splits fixed by a seed, a loss and a metric. TASKS lists all.

What imports torch is loaded when first asked for: to list runs takes none of it.

Example:
    >>> import neatlab
    >>> neatlab.TASKS["teacher"].metric.name
    'recovered error'
"""

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from neatlab.tasks.metrics import METRICS, Metric
from neatlab.tasks.outcomes import Outcomes, same_examples
from neatlab.tasks.spec import TaskField, TaskSpec

if TYPE_CHECKING:
    from neatlab.tasks.base import Score, Split, Task
    from neatlab.tasks.table import TASKS

_MODULES = {"Score": "base", "Split": "base", "Task": "base", "TASKS": "table"}


def load_task(name: str, options: Mapping[str, Any]) -> "Task":
    """A task of the table, its data and base checkpoint not yet loaded.

    Raises:
        BadInput: No such task, options that it does not have, or out of range.
    """
    row: Any = TaskSpec(name).row
    task: Task = row(row.options.parse(options, f"task {name!r}"))
    return task


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


__all__ = [
    "METRICS",
    "TASKS",
    "Metric",
    "Outcomes",
    "Score",
    "Split",
    "Task",
    "TaskField",
    "TaskSpec",
    "load_task",
    "same_examples",
]
