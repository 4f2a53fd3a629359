"""How long the runs of a sweep take here, from runs of the same task that the runs folder holds."""

import os
import statistics
from collections.abc import Iterable
from itertools import islice

from neatlab.dashboard.sweeps.request import SweepOrder
from neatlab.dashboard.sweeps.snapshot import SweepSnapshot
from neatlab.errors import NeatlabError
from neatlab.runs.index import RUN_ID
from neatlab.runs.run import Run
from neatlab.runs.store import Store

MAX_READ = 200  # runs of the folder that are looked at: it may hold many thousands
START_SECONDS = 6.0  # a local cluster's processes import torch once each
MAX_WORKERS = 2  # the other cores belong to the trainings


def workers() -> int:
    """Processes that a sweep of the page trains in."""
    return min(MAX_WORKERS, os.cpu_count() or 1)


def seconds_per_step(order: SweepOrder, store: Store) -> float | None:
    """Of a whole run, its evaluations included; None where the folder has no run of the task.

    Args:
        order: The sweep.
        store: Where runs are.
    """
    return median_pace(run for run in _some(store) if run.config.task == order.task.name)


def run_seconds(seen: SweepSnapshot, before: float | None) -> float | None:
    """How long one run takes; the sweep's own runs say it better than others.

    Args:
        seen: The sweep.
        before: Seconds a step of other runs of the task.
    """
    step = median_pace(seen.ended.values()) or before
    return None if step is None else step * seen.order.runs()[0].training.steps


def seconds_left(seen: SweepSnapshot, each: float | None) -> float | None:
    """How long the runs that are not there yet take on this page's workers.

    Args:
        seen: The sweep.
        each: Seconds of a run.
    """
    left = seen.total - len(seen.ended)
    return None if each is None else _seconds(left, each) + (START_SECONDS if left and not seen.ended else 0)


def seconds_of(order: SweepOrder, seeds: int, each: float) -> float:
    """How long a sweep takes with this many seeds, its search for learning rates included.

    Args:
        order: The sweep.
        seeds: Seeds of every cell.
        each: Seconds of a run.
    """
    return START_SECONDS + _seconds(order.search_count + len(order.cells) * seeds, each)


def _seconds(runs: int, each: float) -> float:
    return runs * each / workers()


def median_pace(runs: Iterable[Run]) -> float | None:
    """Seconds a step of whole runs; None where none has ended."""
    known = [run.summary["seconds"] / run.config.training.steps for run in runs if run.summary.get("seconds")]
    return statistics.median(known) if known else None


def _some(store: Store) -> list[Run]:
    runs = []
    paths = store.root.iterdir() if store.root.exists() else ()
    for path in islice((path for path in paths if RUN_ID.fullmatch(path.name)), MAX_READ):
        try:
            runs.append(store.get(path.name))
        except NeatlabError:
            continue  # a damaged one, or one that was deleted meanwhile
    return runs
