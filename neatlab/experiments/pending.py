"""What a comparison still has to train, before it is asked to: read from the folder, nothing is trained."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from neatlab.config import RunConfig
from neatlab.errors import NeatlabError
from neatlab.experiments.plan import Plan
from neatlab.experiments.sequential import SeedRequest, wanted_runs
from neatlab.runs.comparison import Comparison
from neatlab.runs.run import Run
from neatlab.runs.store import Store


class Outlook(NamedTuple):
    """How much of a comparison is there.

    Args:
        runs: Runs up to the next look at the seeds, the search for learning rates included.
        finished: Those that the folder holds.
    """

    runs: int
    finished: int

    @property
    def todo(self) -> int:
        """Those that it does not hold."""
        return self.runs - self.finished


class _Missing(NeatlabError):
    """A run that the next choice depends on is not there."""


def outlook(
    plan: Plan, request: SeedRequest, store: Store, tunes: bool, compare: Callable[[Sequence[Run]], Comparison]
) -> Outlook:
    """How many runs there are to be, and how many there are.

    Args:
        plan: Task and arms.
        request: How many seeds.
        store: The folder.
        tunes: Whether learning rates are searched for.
        compare: Runs → their comparison.
    """
    asked: list[RunConfig] = []

    def stored(configs: Sequence[RunConfig]) -> list[Run]:
        asked.extend(configs)
        runs = [run for config in configs if (run := store.finished(config))]
        if len(runs) < len(configs):
            raise _Missing
        return runs

    try:
        tuned = plan.tuned(stored)[0] if tunes else plan
    except _Missing:
        total = plan.search_size + len(plan.arms) * first_look(request)
    else:
        asked += wanted_runs(request, tuned.runs, store.finished, compare)
        total = len(asked)
    return Outlook(total, sum(store.finished(config) is not None for config in asked))


def first_look(request: SeedRequest) -> int:
    """Seeds that are trained before anything is judged."""
    return request.design.looks[0] if request.design else len(request.numbers)
