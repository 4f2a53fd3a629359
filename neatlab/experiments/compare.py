"""compare: arms on the same task, seeds and budget, trained and held against each other."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

from neatlab.analysis.looks import MAX_SEEDS
from neatlab.config import Arm, RunConfig
from neatlab.experiments.execute import Listener, check, execute, one_thread
from neatlab.experiments.plan import Plan
from neatlab.experiments.sequential import Look, SeedRequest
from neatlab.experiments.timing import seconds_together
from neatlab.runs.arms import Over
from neatlab.runs.comparison import Comparison
from neatlab.runs.judging import check_judging
from neatlab.runs.run import Run
from neatlab.runs.store import Store
from neatlab.runtime import distributed
from neatlab.runtime.files import PathLike
from neatlab.tasks import TaskSpec


def compare(
    task: str | TaskSpec,
    arms: Sequence[str | Arm],
    *,
    seeds: int | Iterable[int] | Literal["auto"] = 3,
    match: str | None = None,
    lr: float | str | None = None,
    steps: int | None = None,
    runs: PathLike = "runs",
    training: Mapping[str, Any] | None = None,
    on_event: Listener | None = None,
    margin: float | None = None,
    over: Over = "examples",
    max_seeds: int = MAX_SEEDS,
    budget: float | str | None = None,
    on_look: Callable[[Look], None] | None = None,
) -> Comparison:
    """Train arms on the same task, checkpoint, data order and seeds, and compare them with intervals.

    Everything is checked before the first step. A run that the folder already holds is taken from there.

    Args:
        task: A task with its options, such as "digits" or "teacher:kind=low-rank,d_in=64".
        arms: Arms as written on the command line, such as "neat:rank=4,depth=4,activation=gelu".
        seeds: How many seeds (0, 1, …), or the seeds themselves; "auto" takes as many as decide, and no more.
        match: "rank" gives every adapter the rank of the first, "params" the size that comes nearest to its
            parameter count (refused where none is within 10 %); None takes the arms as they are. `head` and
            `full`, the floor and the ceiling, stay as they are.
        lr: Learning rate of every adapter; "auto" chooses each arm's on validation data from one grid;
            None takes the task's default.
        steps: Optimiser steps; None takes the task's default.
        runs: Folder for the runs.
        training: Further fields of `TrainingConfig`, the same for every arm.
        on_event: Called with each event as it happens.
        margin: The largest difference in the metric that does not matter; None takes the metric's own.
        over: What the verdict is to hold for: "examples" for new examples and new seeds, "seeds" for new seeds on these
            test examples.
        max_seeds: The most that seeds="auto" takes.
        budget: Wall-clock time that seeds="auto" may take, in seconds or as "20m".
        on_look: Called with what is still open at each look of seeds="auto".

    Returns:
        The comparison, with `.arms()`, `.differences()`, `.verdict()` and the tables of `Results`.

    Raises:
        BadInput: Something in the request cannot be run.
        StoreError: The folder cannot be written.

    Example:
        >>> import neatlab
        >>> result = neatlab.compare("teacher:d_in=16,d_out=16", ["lora:rank=2", "neat:rank=2"], seeds=2, steps=20)
        >>> [(arm.arm, arm.adapter_params) for arm in result.arms()]
        [('lora:rank=2', 64), ('neat:rank=2,depth=2', 64)]
    """
    check_judging(margin, over)
    plan = Plan(task, arms, {**(training or {}), "steps": steps}, lr, match)
    request = SeedRequest(seeds, max_seeds, budget)
    store = Store(runs)
    check(plan.runs(request.numbers[:1]))
    distributed.broadcast_from_main(store.check_writable)

    def finish(configs: Sequence[RunConfig]) -> list[Run]:
        return _finish(configs, store, on_event)

    begin = time.monotonic()
    plan, search = plan.tuned(finish) if lr == "auto" else (plan, [])

    def compared(numbers: Sequence[int]) -> Comparison:
        return Comparison(finish(plan.runs(numbers)), search, margin=margin, over=over, design=request.design)

    return request.answer(compared, begin, lambda: seconds_together(plan.runs([0]), store), on_look)


def _finish(configs: Sequence[RunConfig], store: Store, on_event: Listener | None) -> list[Run]:
    """Train what the store does not hold yet; returns the runs in order."""
    with one_thread():
        for config in configs:
            if distributed.broadcast_from_main(store.finished, config) is None:
                for event in execute(config, store):
                    if on_event and distributed.is_main():
                        on_event(config, event)
    finished = [distributed.broadcast_from_main(store.finished, config) for config in configs]
    return [run for run in finished if run is not None]
