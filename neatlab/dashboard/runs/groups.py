"""Runs folded by a setting: how many there are of each value, and the mean and spread of what they reached."""

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from neatlab.dashboard.runs.rows import Row
from neatlab.dashboard.runs.table import COLUMNS
from neatlab.runs.run import Run
from neatlab.runtime.numbers import DASH

TASK, JUDGED = (list(COLUMNS).index(name) for name in ("task", "judged by"))
GROUP_COLUMNS: dict[str, tuple[Literal["str", "number"], str]] = {  # heading → Gradio's type, width
    "value": ("str", "220px"),
    "task": ("str", "260px"),
    "runs": ("number", "80px"),
    "with a metric": ("number", "130px"),
    "mean metric": ("number", "120px"),
    "standard deviation": ("number", "190px"),
    "judged by": ("str", "170px"),
}


class Group(NamedTuple):
    """The runs with one value of a setting on one task: metrics of different tasks have no mean.

    Args:
        value: The value; a dash where they do not have the setting.
        task: The task.
        judged: What the metric is.
        runs: In the order of the table.
    """

    value: str
    task: str
    judged: str
    runs: list[Run]

    @property
    def cells(self) -> list[Any]:
        """What stands in the columns."""
        metrics = [float(run.summary["metric"]) for run in self.runs if run.summary.get("metric") is not None]
        known = [metric for metric in metrics if math.isfinite(metric)]
        mean = round(float(np.mean(known)), 4) if known else None
        spread = round(float(np.std(known, ddof=1)), 4) if len(known) > 1 else None
        return [self.value, self.task, len(self.runs), len(known), mean, spread, self.judged]


def fold(rows: Sequence[Row], setting: str) -> list[Group]:
    """The rows by the value of a setting and by task.

    Args:
        rows: What is folded.
        setting: Name of the setting.
    """
    groups: dict[tuple[str, str], Group] = {}
    for row in rows:
        value, task = row.settings.get(setting, DASH), str(row.cells[TASK])
        groups.setdefault((value, task), Group(value, task, str(row.cells[JUDGED]), [])).runs.append(row.run)
    return sorted(groups.values(), key=lambda group: (group.task, *_place(group.value)))


def _place(value: str) -> tuple[float, str]:
    """Numbers by their size, then words by the alphabet."""
    try:
        return float(value), ""
    except ValueError:
        return math.inf, value
