"""A suite before it is trained: its tasks with what trains each, what is there already, and how long the rest takes."""

import os
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from distributed import Client

from neatlab.adapters.methods import METHODS
from neatlab.analysis.looks import MAX_SEEDS
from neatlab.config import Arm, RunConfig, parse_arm
from neatlab.errors import BadInput
from neatlab.experiments.cluster import on_demand
from neatlab.experiments.execute import Listener
from neatlab.experiments.pending import Outlook, outlook
from neatlab.experiments.sequential import Look, SeedRequest
from neatlab.experiments.suite_tasks import QUICK_SEEDS, ListedTask, listed, quick_steps
from neatlab.experiments.sweep import MAX_RUNS, START_SECONDS, Incomplete, Sweep
from neatlab.experiments.timing import run_seconds
from neatlab.runs.arms import Over
from neatlab.runs.comparison import Comparison
from neatlab.runs.store import Store
from neatlab.runs.suite import SuiteResult, SuiteTask
from neatlab.runs.suite_record import record
from neatlab.runtime.files import PathLike
from neatlab.runtime.locks import exclusive
from neatlab.tasks import TaskSpec

ARMS = ("lora:rank=8", "neat:depth=2", "neat:depth=4", "dora", "full", "head")
LOCK = ".neatlab-suite"  # file in a runs folder
Seeds = int | Iterable[int] | Literal["auto"]


@dataclass(frozen=True)
class SuiteEstimate:
    """What a suite would do.

    Args:
        tasks: Tasks.
        runs: Runs in all, with seeds="auto" up to each task's next look at them.
        finished: Those that the folder holds already.
        most: Runs that it can come to.
        seconds: About how long the missing ones of `runs` take on these workers.
    """

    tasks: int
    runs: int
    finished: int
    most: int
    seconds: float


@dataclass(frozen=True)
class SuiteProgress:
    """How far a suite is, after one of its tasks.

    Args:
        done: Tasks that are done.
        tasks: Tasks in all.
        latest: The one that was just done; None where runs of it were lost.
        seconds: About how long the others take.
    """

    done: int
    tasks: int
    latest: SuiteTask | None
    seconds: float


@dataclass(frozen=True)
class Entry:
    """One task before it is trained.

    Args:
        task: Which.
        names: The arms that it can have, as they were asked for.
        sweep: What trains them.
        outlook: How much of that there is.
    """

    task: ListedTask
    names: tuple[str, ...]
    sweep: Sweep
    outlook: Outlook


class Suite:
    """A request for a suite: the same arms on each of its tasks. `suite` says what it takes.

    Raises:
        BadInput: A task, family or arm that there is not, or that cannot be run.
    """

    def __init__(
        self,
        tasks: Sequence[str | TaskSpec] = (),
        arms: Sequence[str | Arm] = ARMS,
        *,
        families: Sequence[str] = (),
        quick: bool = False,
        seeds: Seeds | None = None,
        match: str | None = "params",
        lr: float | str | None = "auto",
        training: Mapping[str, Any] | None = None,
        runs: PathLike = "runs",
        margin: float | None = None,
        over: Over = "examples",
        max_seeds: int = MAX_SEEDS,
        budget: float | str | None = None,
        yes: bool = False,
    ) -> None:
        self.arms = {arm.strip() if isinstance(arm, str) else arm.label: _parsed(arm) for arm in arms}
        if len(self.arms) < max(2, len(arms)):
            raise BadInput(f"arms {[*self.arms]}; a suite compares: give at least two, and none twice")
        self._tunes, self._quick = lr == "auto", quick
        given: Any = seeds if seeds is not None else QUICK_SEEDS if quick else "auto"
        self._seeds = SeedRequest(given if isinstance(given, int | str) else [*given], max_seeds, budget)
        judging: dict[str, Any] = {"margin": margin, "over": over}
        self._judging, self.store = {**judging, "design": self._seeds.design}, Store(runs)
        numbers: Any = "auto" if self._seeds.design else self._seeds.numbers
        seeding: dict[str, Any] = {"seeds": numbers, "max_seeds": max_seeds, "budget": budget}
        self._settings: dict[str, Any] = {"match": match, "lr": lr, "runs": runs, **judging, **seeding}
        self._training = {name: value for name, value in (training or {}).items() if value is not None}
        self.tasks = listed(tasks, families, quick)
        self._check_size(yes)
        self._entries = [self._entry(task) for task in self.tasks]

    def _check_size(self, yes: bool) -> None:
        most = len(self.tasks) * len(self.arms) * len(self._seeds.numbers)
        if most > MAX_RUNS and not yes:
            raise BadInput(f"the suite has up to {most:,} runs; more than {MAX_RUNS:,} need --yes (yes=True in Python)")

    def _entry(self, task: ListedTask) -> Entry:
        has_head = bool(task.spec.load().head)
        own = {name: arm for name, arm in self.arms.items() if has_head or METHODS[arm.method].trains != "head"}
        if len(own) < 2 or next(iter(own)) != next(iter(self.arms)):
            raise BadInput(f"{task.spec} has no head to train alone: give two other arms, one of them first")
        training = {**({"steps": quick_steps(task)} if self._quick else {}), **self._training}
        request = Sweep(task.spec, [*own.values()], {}, training=training, **self._settings)
        there = outlook(
            request.plans[0], self._seeds, self.store, self._tunes, lambda done: Comparison(done, **self._judging)
        )
        return Entry(task, tuple(own), request, there)

    @cached_property
    def _seconds(self) -> dict[tuple[str, int], float]:
        """Task and steps → about how long a run of it takes: as those in the folder did, else as a timed step says."""
        known: dict[tuple[str, int], list[float]] = {}
        for run in self.store.runs():
            if run.status == "finished":
                known.setdefault(_kind(run.config), []).append(run.summary["seconds"])
        for entry in self._entries:
            configs = entry.sweep.plans[0].runs([0])
            if entry.outlook.todo and _kind(configs[0]) not in known:
                known[_kind(configs[0])] = [run_seconds(config) for config in configs]
        return {kind: statistics.fmean(seconds) for kind, seconds in known.items()}

    def _ahead(self, entry: Entry) -> float:
        """Seconds of one worker that the missing runs of a task take."""
        todo, config = entry.outlook.todo, entry.sweep.plans[0].runs([0])[0]
        return todo * self._seconds[_kind(config)] if todo else 0.0

    def estimate(self, workers: int | None = None) -> SuiteEstimate:
        """How many runs, how many are there, how long the others take about; trains a few steps to find out."""
        looks = [entry.outlook for entry in self._entries]
        runs, ahead = sum(one.runs for one in looks), sum(map(self._ahead, self._entries))
        searched = sum(entry.sweep.plans[0].search_size for entry in self._entries) * self._tunes
        most = searched + sum(len(entry.names) for entry in self._entries) * len(self._seeds.numbers)
        seconds = ahead / _workers(workers) + START_SECONDS * any(one.todo for one in looks)
        return SuiteEstimate(len(looks), runs, sum(one.finished for one in looks), most, seconds)

    def run(
        self,
        *,
        workers: int | None = None,
        scheduler: str | None = None,
        on_start: Callable[[SuiteEstimate], None] | None = None,
        on_event: Listener | None = None,
        on_look: Callable[[Look], None] | None = None,
        on_task: Callable[[SuiteProgress], None] | None = None,
    ) -> SuiteResult:
        """Train what is missing, the cheapest task first.

        Args:
            workers: As for `sweep`.
            scheduler: As for `sweep`.
            on_start: Called with the estimate before anything is trained.
            on_event: As for `sweep`.
            on_look: As for `compare`.
            on_task: Called after each task.

        Raises:
            BadInput: An arm that does not fit, a cluster that cannot be used, or another suite that writes the folder.
            StoreError: The folder cannot be written.
        """
        self.store.check_writable()
        with exclusive(self.store.root / LOCK, f"suite in {self.store.root}"), ExitStack() as stack:
            for entry in self._entries:
                if entry.outlook.todo:
                    entry.sweep.check()
            if on_start:
                on_start(self.estimate(workers))
            client = on_demand(stack, workers, scheduler)
            return self._trained(client, _workers(workers), on_task, on_event=on_event, on_look=on_look)

    def _trained(
        self,
        client: Callable[[], Client],
        workers: int,
        on_task: Callable[[SuiteProgress], None] | None,
        **listeners: Any,
    ) -> SuiteResult:
        order, begin = sorted(self._entries, key=self._ahead), time.monotonic()
        done, lost = dict[TaskSpec, SuiteTask](), dict[str, str]()
        for place, entry in enumerate(order, start=1):
            spec = entry.task.spec
            try:
                comparison = entry.sweep.run(client=client, **listeners)
                done[spec] = _suite_task(entry, comparison)
            except Incomplete as error:
                lost[str(spec)] = str(error)
            result = SuiteResult([*self.arms], [done[one.spec] for one in self.tasks if one.spec in done], lost)
            record(self.store, result, len(order), self._judging)
            if on_task:
                left = self._left(order, place, workers, time.monotonic() - begin)
                on_task(SuiteProgress(place, len(order), done.get(spec), left))
        return result

    def _left(self, order: Sequence[Entry], done: int, workers: int, spent: float) -> float:
        """Seconds for what comes after the first `done` tasks, were the estimate as far off as it was until here."""
        behind, ahead = (sum(map(self._ahead, part)) for part in (order[:done], order[done:]))
        return ahead * (spent / behind if behind else 1 / workers)


def _suite_task(entry: Entry, comparison: Comparison) -> SuiteTask:
    labels = [arm.arm for arm in comparison.arms()]
    names = dict(zip(entry.names, labels, strict=True))
    return SuiteTask(str(entry.task.spec), entry.task.family, names, comparison)


def _kind(config: RunConfig) -> tuple[str, int]:
    """What a run's time depends on most."""
    return config.task, config.training.steps


def _workers(workers: int | None) -> int:
    return workers or os.cpu_count() or 1


def _parsed(arm: str | Arm) -> Arm:
    return parse_arm(arm) if isinstance(arm, str) else arm
