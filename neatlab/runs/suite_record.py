"""Which runs of a folder stand for which arm on which task of its suite: one small file, written after each task."""

from collections.abc import Mapping
from typing import Any

import orjson
from pydantic import Field, ValidationError

from neatlab.analysis.looks import Design
from neatlab.errors import StoreError
from neatlab.runs.arms import Over
from neatlab.runs.comparison import Comparison
from neatlab.runs.run import Run
from neatlab.runs.store import Store
from neatlab.runs.suite import SuiteResult, SuiteTask
from neatlab.runs.writer import write_json
from neatlab.runtime.files import open_regular
from neatlab.schema import Schema

FILE = "suite.json"
MAX_BYTES = 2**24  # some hundred thousand run ids


class TaskRecord(Schema):
    """One task.

    Args:
        task: The task as one writes it.
        family: Its family.
        arms: Arm as it was asked for → its label in the comparison.
        runs: Ids of the runs reported on.
        search: Ids of those that chose the learning rates.
    """

    task: str
    family: str
    arms: dict[str, str]
    runs: tuple[str, ...] = Field(min_length=1)
    search: tuple[str, ...] = ()


class SuiteRecord(Schema):
    """The latest suite of a runs folder, as far as it is.

    Args:
        arms: The arms as they were asked for, the reference first.
        tasks: The tasks that are done.
        lost: Task → why it has no comparison.
        planned: How many tasks the suite has.
        margin: As for `Comparison`.
        over: As for `Comparison`.
        looks: After how many seeds one looks; empty for once.
    """

    arms: tuple[str, ...]
    tasks: tuple[TaskRecord, ...]
    lost: dict[str, str]
    planned: int
    margin: float | None
    over: Over
    looks: tuple[int, ...]


def record(store: Store, result: SuiteResult, planned: int, judging: Mapping[str, Any]) -> None:
    """Write what a suite has so far into its runs folder, in the place of what another left there.

    Args:
        store: The folder.
        result: The suite.
        planned: How many tasks it has.
        judging: What the comparisons are made with: margin, over, design.

    Raises:
        StoreError: The file cannot be written.
    """
    tasks = tuple(_task_record(task) for task in result.tasks)
    design: Design | None = judging["design"]
    written = SuiteRecord(
        arms=result.arms,
        tasks=tasks,
        lost=result.lost,
        planned=planned,
        margin=judging["margin"],
        over=judging["over"],
        looks=design.looks if design else (),
    )
    try:
        write_json(store.root / FILE, written.model_dump())
    except OSError as error:
        raise StoreError(f"{store.root / FILE} cannot be written: {error.strerror or error}") from error


def has_record(store: Store) -> bool:
    """Whether a suite was trained in the folder."""
    return (store.root / FILE).is_file()


def read_suite(store: Store) -> tuple[SuiteResult, int] | None:
    """The latest suite of a runs folder and how many tasks it has; None where there was none.

    Raises:
        StoreError: The file is damaged.
    """
    path = store.root / FILE
    try:
        with open_regular(path, MAX_BYTES) as file:
            read = SuiteRecord.restore(orjson.loads(file.read()))
    except FileNotFoundError:
        return None
    except (OSError, ValidationError, ValueError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise StoreError(f"{path} cannot be read: {reason}; the suite's command writes it anew") from error
    return _result(read, {run.run_id: run for run in store.survey()[0]}), read.planned


def _result(read: SuiteRecord, known: Mapping[str, Run]) -> SuiteResult:
    design = Design(read.looks) if read.looks else None
    tasks, lost = [], dict(read.lost)
    for one in read.tasks:
        if missing := {*one.runs, *one.search} - known.keys():
            lost[one.task] = f"{len(missing)} of its runs are not there any more; the suite's command trains them again"
            continue
        runs, search = ([known[run_id] for run_id in ids] for ids in (one.runs, one.search))
        comparison = Comparison(runs, search, margin=read.margin, over=read.over, design=design)
        tasks.append(SuiteTask(one.task, one.family, one.arms, comparison))
    return SuiteResult(read.arms, tasks, lost)


def _task_record(task: SuiteTask) -> TaskRecord:
    runs, search = (tuple(run.run_id for run in part) for part in (task.comparison.runs, task.comparison.search))
    return TaskRecord(task=task.task, family=task.family, arms=dict(task.arms), runs=runs, search=search)
