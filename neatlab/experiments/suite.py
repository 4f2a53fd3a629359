"""suite: the same arms on a table of tasks, and what they say together."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from neatlab.analysis.looks import MAX_SEEDS
from neatlab.config import Arm
from neatlab.experiments.execute import Listener
from neatlab.experiments.sequential import Look
from neatlab.experiments.suite_request import ARMS, Seeds, Suite, SuiteEstimate, SuiteProgress
from neatlab.runs.arms import Over
from neatlab.runs.suite import SuiteResult
from neatlab.runtime.files import PathLike
from neatlab.tasks import TaskSpec


def suite(
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
    workers: int | None = None,
    scheduler: str | None = None,
    margin: float | None = None,
    over: Over = "examples",
    max_seeds: int = MAX_SEEDS,
    budget: float | str | None = None,
    yes: bool = False,
    on_start: Callable[[SuiteEstimate], None] | None = None,
    on_event: Listener | None = None,
    on_look: Callable[[Look], None] | None = None,
    on_task: Callable[[SuiteProgress], None] | None = None,
) -> SuiteResult:
    """Train the same arms on each task of a table, a sweep a task, and say what the tasks show together.

    The cheapest task is trained first. Called again, it trains only what is missing.

    Args:
        tasks: Tasks with their options; every setting of `neatlab.data()` by default, but for the family "synthetic".
        arms: The first is the reference. An arm that a task cannot have, `head` where the model has no head, is left
            out there.
        families: Only tasks of these families.
        quick: Two tasks a family, two fifths of their steps or fewer, three seeds.
        seeds: As for `sweep`; "auto" by default.
        match: As for `compare`; every adapter of a task is sized as the first arm is there.
        lr: As for `compare`.
        training: Fields of `TrainingConfig`, the same for every task.
        runs: Folder for the runs; one suite at a time writes it.
        workers: As for `sweep`.
        scheduler: As for `sweep`.
        margin: As for `compare`; one for all tasks, or None for that of each task's metric.
        over: As for `compare`.
        max_seeds: As for `compare`.
        budget: As for `compare`, for each task.
        yes: Allow more than 5,000 runs.
        on_start: Called with the estimate before anything is trained.
        on_event: As for `sweep`.
        on_look: As for `compare`.
        on_task: Called after each task.

    Returns:
        The comparisons by task, with `.groups`, `.verdict()` and `.frame()`; a task that lost runs is in `.lost`.

    Raises:
        BadInput: Something in the request cannot be run, or another suite writes the folder.
        StoreError: The folder cannot be written.

    Example:
        >>> import neatlab
        >>> small = {"lr": None, "match": None, "seeds": 2, "training": {"steps": 20}}
        >>> result = neatlab.suite(["teacher:d_in=16,d_out=16"], ["lora:rank=2", "neat:rank=2"], **small)
        >>> [(group.name, group.arms[1].arm, group.arms[1].tasks) for group in result.groups]
        [('synthetic', 'neat:rank=2', 1)]
    """
    shared: dict[str, Any] = {"seeds": seeds, "match": match, "lr": lr, "training": training, "runs": runs}
    shared |= {"margin": margin, "over": over, "max_seeds": max_seeds, "budget": budget, "yes": yes}
    request = Suite(tasks, arms, families=families, quick=quick, **shared)
    listeners: dict[str, Any] = {"on_start": on_start, "on_event": on_event, "on_look": on_look, "on_task": on_task}
    return request.run(workers=workers, scheduler=scheduler, **listeners)
