"""Ablations: a grid of named axes × seeds, many runs at once, and a verdict that names its reference."""

import math
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from distributed import Client

from neatlab.analysis.looks import MAX_SEEDS
from neatlab.config import Arm, RunConfig, parse_arm
from neatlab.errors import BadInput, NeatlabError
from neatlab.experiments.cluster import ShouldContinue, on_demand, run_all
from neatlab.experiments.execute import Listener, check
from neatlab.experiments.grid import Axes, Owners, expand, varied_tasks, varied_training
from neatlab.experiments.halving import Halving
from neatlab.experiments.plan import Finish, Plan
from neatlab.experiments.sequential import Look, SeedRequest, compare_by_seeds, seed_list, seedless
from neatlab.experiments.timing import seconds_per_step, seconds_together
from neatlab.runs.arms import Over
from neatlab.runs.comparison import Comparison
from neatlab.runs.judging import check_judging
from neatlab.runs.run import Run
from neatlab.runs.store import Store
from neatlab.runtime.files import PathLike
from neatlab.tasks import TaskSpec

MAX_RUNS = 5_000
START_SECONDS = 6.0  # a local cluster's processes import torch once each


class Incomplete(NeatlabError):
    """A sweep in which runs were lost; what finished is in the store."""


@dataclass(frozen=True)
class SweepEstimate:
    """What a sweep would do.

    Args:
        runs: Runs in all.
        finished: Those that the store holds already.
        steps: Optimiser steps of the others, before any pruning.
        seconds: About how long these take on the workers that were asked for.
    """

    runs: int
    finished: int
    steps: int
    seconds: float


class Sweep:
    """A request for an ablation: arms times axes times seeds.

    Args:
        task: A task with its options.
        arms: Arms that the axes vary.
        grid: Axis → values. An axis is an option of the arms' methods, "lr", "method", "train_size", or "task." and
            an option of the task.
        seeds: How many seeds, or the seeds.
        reference: The arm that the others are held against; trained as it stands, the first one by default.
        lr: As for `compare`.
        match: As for `compare`; the reference, if there is one, sets the size.
        training: Fields of `TrainingConfig`.
        runs: Runs folder.
        margin: As for `compare`.
        over: As for `compare`.
        max_seeds: As for `compare`.
        budget: As for `compare`.

    Raises:
        BadInput: An axis that a method does not have, a value out of range, an empty grid.
    """

    def __init__(
        self,
        task: str | TaskSpec,
        arms: Sequence[str | Arm],
        grid: Axes,
        *,
        seeds: int | Iterable[int] | Literal["auto"] = 3,
        reference: str | None = None,
        lr: float | str | None = None,
        match: str | None = None,
        training: Mapping[str, Any] | None = None,
        runs: PathLike = "runs",
        margin: float | None = None,
        over: Over = "examples",
        max_seeds: int = MAX_SEEDS,
        budget: float | str | None = None,
    ) -> None:
        check_judging(margin, over)
        self._seeds, self.store = SeedRequest(seeds, max_seeds, budget), Store(runs)
        self.seeds = self._seeds.numbers
        self._judging: dict[str, Any] = {"margin": margin, "over": over, "design": self._seeds.design}
        self._tunes = lr == "auto"
        axes = Owners.of(grid)
        first = [parse_arm(reference)] if reference else []
        self._has_reference = bool(first)
        varied = expand([parse_arm(arm) if isinstance(arm, str) else arm for arm in arms], axes.arms)
        every = first + [arm for arm in varied if arm not in first]
        settings = varied_training(training or {}, axes.training)
        tasks = varied_tasks(TaskSpec.parse(task), axes.task)
        self.plans = [Plan(spec, every, each, lr, match) for spec in tasks for each in settings]

    @property
    def configs(self) -> list[RunConfig]:
        """Every run that is reported on."""
        return _runs(self.plans, self.seeds)

    @property
    def todo(self) -> list[RunConfig]:
        """Those that the store does not hold yet."""
        return [config for config in self.configs if self.store.finished(config) is None]

    def estimate(self, workers: int | None = None) -> SweepEstimate:
        """How many runs, how many are there, how long the others take about; trains a few steps to find out."""
        todo = self.todo
        steps = sum(config.training.steps for config in todo)
        each = seconds_per_step(todo, self.store) if todo else 0.0
        seconds = steps * each / (workers or os.cpu_count() or 1) + (START_SECONDS if todo else 0)
        return SweepEstimate(len(self.configs), len(self.configs) - len(todo), steps, seconds)

    def check(self) -> None:
        """Find out, before anything trains, whether it all can be.

        Raises:
            BadInput: An arm that does not fit.
            StoreError: The folder cannot be written.
        """
        check(self.configs)
        self.store.check_writable()

    def run(
        self,
        *,
        workers: int | None = None,
        scheduler: str | None = None,
        prune: bool = False,
        on_event: Listener | None = None,
        on_look: Callable[[Look], None] | None = None,
        client: Callable[[], Client] | None = None,
    ) -> Comparison:
        """Train what is missing and compare.

        Args:
            workers: Local processes, one torch thread each.
            scheduler: Address of a Dask cluster to use instead.
            prune: Successive halving over steps, on validation data of the first seed; the arms that reach its
                end are trained on the other seeds.
            on_event: Called with events as they arrive.
            on_look: As for `compare`.
            client: Gives a cluster in the place of `workers` and `scheduler`; the caller has called `check` before.

        Returns:
            The comparison.

        Raises:
            BadInput: An arm that does not fit, a cluster that cannot be used, or pruning with seeds="auto".
            StoreError: The folder cannot be written.
            Incomplete: Runs were lost; the others are in the store, and the same call goes on from there.
        """
        if prune and self._seeds.design:
            raise BadInput("--prune with --seeds auto: both stop arms early; choose one")
        if client is None:
            self.check()
        begin = time.monotonic()
        with ExitStack() as stack:
            given = client or on_demand(stack, workers, scheduler)

            def finish(configs: Sequence[RunConfig], should_continue: ShouldContinue | None = None) -> list[Run]:
                if lost := run_all(configs, self.store, given, on_event, should_continue):
                    reasons = "; ".join(f"{run_id}: {reason}" for run_id, reason in sorted(lost.items()))
                    raise Incomplete(f"{len(lost)} of {len(configs)} runs were lost ({reasons})")
                return [run for c in configs if (run := self.store.finished(c, pruned=should_continue is not None))]

            plans, search = _tuned(self.plans, finish) if self._tunes else (self.plans, [])
            reference = plans[0].arms[0].label if self._has_reference else None
            return compare_by_seeds(
                self._seeds,
                lambda numbers: _runs(plans, numbers),
                partial(self._halved, finish=finish) if prune else finish,
                lambda done: Comparison(done, search, reference, **self._judging),
                lambda: self._seconds_of_a_seed(workers),
                begin,
                on_look,
            )

    def _seconds_of_a_seed(self, workers: int | None) -> float:
        configs = _runs(self.plans, [0])
        return seconds_together(configs, self.store) / (workers or os.cpu_count() or 1)

    def _halved(self, configs: Sequence[RunConfig], finish: Callable[..., list[Run]]) -> list[Run]:
        first = [config for config in configs if config.seed == self.seeds[0]]
        halved = finish(first, Halving(first))
        survivors = {seedless(run.config) for run in halved if run.status == "finished"}
        others = [config for config in configs if config.seed != self.seeds[0] and seedless(config) in survivors]
        position = {config.run_id: index for index, config in enumerate(configs)}
        return sorted([*halved, *finish(others)], key=lambda run: position[run.run_id])


def _runs(plans: Sequence[Plan], seeds: Sequence[int]) -> list[RunConfig]:
    return [config for plan in plans for config in plan.runs(seeds)]


def _tuned(plans: Sequence[Plan], finish: Finish) -> tuple[list[Plan], list[Run]]:
    pairs = [plan.tuned(finish) for plan in plans]
    return [plan for plan, _ in pairs], [run for _, search in pairs for run in search]


def sweep(
    task: str | TaskSpec,
    arms: Sequence[str | Arm],
    grid: Axes | None = None,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    prune: bool = False,
    yes: bool = False,
    on_event: Listener | None = None,
    on_look: Callable[[Look], None] | None = None,
    seeds: int | Iterable[int] | Literal["auto"] = 3,
    reference: str | None = None,
    lr: float | str | None = None,
    match: str | None = None,
    training: Mapping[str, Any] | None = None,
    runs: PathLike = "runs",
    margin: float | None = None,
    over: Over = "examples",
    max_seeds: int = MAX_SEEDS,
    budget: float | str | None = None,
) -> Comparison:
    """Train a grid of arms on several seeds, many runs at once, and compare them.

    Same configuration, same run directory: called again, it trains only what is missing.

    Args:
        task: A task, or its text, such as "digits".
        arms: Arms that the axes vary, such as "neat:rank=4".
        grid: Axis → values, such as {"depth": [2, 4], "activation": ["relu", "gelu"]}; see `Sweep`.
        workers: Local processes, one torch thread each; as many as there are cores by default.
        scheduler: Address of a Dask cluster to use instead.
        prune: Successive halving on validation data.
        yes: Allow more than 5,000 runs.
        on_event: Called with events as they arrive.
        on_look: As for `compare`.
        seeds: How many seeds (0, 1, …), or the seeds themselves; "auto" takes as many as decide, and gives no more to
            arms that are shown to be worse than the best.
        reference: The arm that the others are held against, trained as it stands; the first one by default.
        lr: As for `compare`.
        match: As for `compare`; the reference, if there is one, sets the size.
        training: Fields of `TrainingConfig`.
        runs: Folder for the runs.
        margin: As for `compare`.
        over: As for `compare`.
        max_seeds: As for `compare`.
        budget: As for `compare`.

    Returns:
        The comparison, with `.arms()`, `.differences()`, `.verdict()` and the tables of `Results`.

    Raises:
        BadInput: Something in the request cannot be run.
        StoreError: The folder cannot be written.
        Incomplete: Runs were lost; the others are kept.

    Example:
        >>> import neatlab
        >>> grid = {"method": ["lora", "neat"]}
        >>> result = neatlab.sweep("teacher:d_in=16,d_out=16", ["lora:rank=2"], grid, seeds=2, training={"steps": 20})
        >>> [arm.arm for arm in result.arms()]
        ['lora:rank=2', 'neat:rank=2,depth=2']
    """
    given = seeds if isinstance(seeds, int | str) else [*seeds]
    check_size(arms, grid or {}, max_seeds if isinstance(given, str) else given, yes)
    shared: dict[str, Any] = {"training": training, "runs": runs, "margin": margin, "over": over}
    shared |= {"seeds": given, "max_seeds": max_seeds, "budget": budget}
    request = Sweep(task, arms, grid or {}, reference=reference, lr=lr, match=match, **shared)
    return request.run(workers=workers, scheduler=scheduler, prune=prune, on_event=on_event, on_look=on_look)


def check_size(arms: Sequence[Any], grid: Axes, seeds: int | Iterable[int], yes: bool) -> None:
    """Refuse a grid so large that it is probably a slip, before it is written out.

    Raises:
        BadInput: More than 5,000 runs and no `yes`.
    """
    count = len(arms) * math.prod(len(values) for values in grid.values()) * len(seed_list(seeds))
    if count > MAX_RUNS and not yes:
        raise BadInput(f"the grid has {count:,} runs; more than {MAX_RUNS:,} need --yes (yes=True in Python)")
