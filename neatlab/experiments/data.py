"""What there is to train on: every setting of a task that the page offers, as rows of a table."""

import statistics
from collections.abc import Mapping
from typing import Any

from neatlab.runs.run import Run
from neatlab.runs.store import Store
from neatlab.runtime.files import PathLike
from neatlab.tasks import TASKS, Task, TaskSpec
from neatlab.tasks.shipped import SETS


def data(runs: PathLike = "runs") -> list[dict[str, Any]]:
    """The tasks that come with neatlab, one row each of their settings; nothing is trained and no model is loaded.

    `task` is what `compare` and `sweep` take; `family` is vision, language, arithmetic or reasoning, and synthetic for
    the teacher, whose answer is known; `examples` are those to train on (of `text` at most: a package may have fewer);
    `base` is the frozen model; `license` and `source` are those of the data; `bytes` is the size of the text files
    that the package has for it, None where there are none; `seconds` is the median time that a finished run of it took
    in the folder `runs`, scores included, None where there is none.

    Args:
        runs: Folder of runs that `seconds` is taken from; it need not exist.

    Returns:
        Rows in the order of TASKS.

    Example:
        >>> import neatlab
        >>> first = neatlab.data()[0]
        >>> first["task"], first["family"], first["examples"]
        ('digits', 'vision', 898)
    """
    finished = [run for run in Store(runs).runs() if run.status == "finished" and run.config.purpose == "report"]
    return [_row(name, options, finished) for name, row in TASKS.items() for options in row.choices.values()]


def _row(name: str, options: Mapping[str, Any], finished: list[Run]) -> dict[str, Any]:
    row, spec = TASKS[name], TaskSpec(name, options)
    seconds = [run.summary["seconds"] for run in finished if run.config.task == name and _is_of(run, row, spec)]
    return {
        "task": str(spec),
        "family": row.family,
        "examples": row.count(row.options.model_validate(options)),  # not parsed: that would ask for the model
        "base": row.base,
        "license": row.license,
        "source": row.source,
        "bytes": sum(SETS[one].path.stat().st_size for one in getattr(row.options, "sets", ())) or None,
        "seconds": statistics.median(seconds) if seconds else None,
    }


def _is_of(run: Run, row: type[Task], spec: TaskSpec) -> bool:
    """Whether the run is of the task with exactly these options, those aside that are filled in."""
    defaults = {option: str(value) for option, value in row.options.defaults().items()}
    stored = {option: str(value) for option, value in run.config.task_options.items()}
    asked = defaults | dict(spec.options)
    return all(value == asked.get(option) for option, value in stored.items() if defaults.get(option) != "")
