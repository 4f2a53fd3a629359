"""As many seeds as it takes: looks after some, and stops once every comparison is decided or hopeless."""

import math
import re
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from neatlab.analysis.looks import Design, chance, looks_until
from neatlab.config import RunConfig
from neatlab.errors import BadInput, NeatlabError
from neatlab.runs.comparison import Comparison
from neatlab.runs.judging import Judged
from neatlab.runs.run import Run
from neatlab.runtime import distributed

MAX_SEED_COUNT = 10_000
HOPELESS = 0.05  # chance of a decision below which no more seeds are spent
UNITS = {"s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True)
class Look:
    """What is known after some of the seeds.

    Args:
        seeds: How many there are.
        open: What is still to be decided, a line a comparison.
        next: After how many seeds one looks again; None where it ends here.
        seconds: About how long that takes.
        reason: Why it ends; empty while it goes on.
    """

    seeds: int
    open: tuple[str, ...]
    next: int | None
    seconds: float
    reason: str

    def __str__(self) -> str:
        ahead = f"next look after {self.next}, in about {self.seconds:.0f} s" if self.next else self.reason
        return f"after {self.seeds} seeds: {'; '.join([*self.open, ahead])}"


class SeedRequest:
    """How many seeds someone asked for.

    Args:
        seeds: A number, the seeds themselves, or "auto".
        max_seeds: The most that "auto" takes.
        budget: Time that "auto" may take, in seconds or as "20m"; None for no limit.

    Raises:
        BadInput: No seeds, fewer than two at most, or a budget for a fixed number of seeds.
    """

    def __init__(self, seeds: int | Iterable[int] | str, max_seeds: int, budget: float | str | None) -> None:
        self.design: Design | None = None
        self.budget = None if budget is None else seconds_of(str(budget))
        if isinstance(seeds, str):
            if seeds != "auto":
                raise BadInput(f"seeds={seeds!r}; give a number of seeds, or 'auto'")
            self.design = Design(looks_until(max_seeds))
        elif budget is not None:
            raise BadInput("budget is for seeds='auto', which stops in time; a fixed number of seeds is trained whole")
        self.numbers = list(range(max_seeds)) if isinstance(seeds, str) else seed_list(seeds)

    def answer(
        self,
        compared: Callable[[Sequence[int]], Comparison],
        begin: float,
        seconds: Callable[[], float],
        on_look: Callable[[Look], None] | None,
    ) -> Comparison:
        """The comparison on these seeds, or on as many as decide it.

        Args:
            compared: Seeds → the comparison on them; runs that are there already are not trained again.
            begin: When the budget began to count, by `time.monotonic`.
            seconds: About how long all arms take on one seed; asked where there is a budget.
            on_look: Called at each look.

        Raises:
            BadInput: A budget that allows no look.
        """
        if self.design is None:
            return compared(self.numbers)
        if self.budget is not None:
            _check_first_look(self.design.looks[0], seconds(), self.budget)
        return _until_decided(compared, self.design, seconds, (begin, self.budget or math.inf), on_look)


def compare_by_seeds(
    request: SeedRequest,
    runs_of: Callable[[Sequence[int]], list[RunConfig]],
    finish: Callable[[Sequence[RunConfig]], list[Run]],
    compare: Callable[[Sequence[Run]], Comparison],
    seconds: Callable[[], float] = lambda: 0.0,
    begin: float | None = None,
    on_look: Callable[[Look], None] | None = None,
) -> Comparison:
    """As `SeedRequest.answer`; with seeds="auto" arms that are shown to be worse than the best get no more seeds.

    Args:
        request: How many seeds.
        runs_of: Seeds → the runs of all arms on them.
        finish: Trains those that are not there; returns all.
        compare: Runs → their comparison.
        seconds: As for `SeedRequest.answer`.
        begin: As for `SeedRequest.answer`; now by default.
        on_look: As for `SeedRequest.answer`.
    """
    seeds_given: dict[str, int] = {}  # to arms that were shown to be worse than the best

    def compared(numbers: Sequence[int]) -> Comparison:
        comparison = compare(finish([c for c in runs_of(numbers) if c.seed < seeds_given.get(seedless(c), math.inf)]))
        for config in comparison.worse_than_the_best() if request.design else []:
            seeds_given.setdefault(seedless(config), len(numbers))
        return comparison

    return request.answer(compared, time.monotonic() if begin is None else begin, seconds, on_look)


class _Missing(NeatlabError):
    """A run that a look needs is not there."""


def wanted_runs(
    request: SeedRequest,
    runs_of: Callable[[Sequence[int]], list[RunConfig]],
    finished: Callable[[RunConfig], Run | None],
    compare: Callable[[Sequence[Run]], Comparison],
) -> list[RunConfig]:
    """The runs that should be there next: those of the first look that lacks one, else of the look that decided.

    Nothing is trained; what the runs that are there decide is computed.

    Args:
        request: As for `compare_by_seeds`.
        runs_of: As for `compare_by_seeds`.
        finished: The run of a configuration; None where it is not there.
        compare: As for `compare_by_seeds`.
    """
    latest: list[RunConfig] = []

    def stored(configs: Sequence[RunConfig]) -> list[Run]:
        latest[:] = configs
        runs = [run for config in configs if (run := finished(config))]
        if len(runs) < len(configs):
            raise _Missing
        return runs

    with suppress(_Missing):
        compare_by_seeds(request, runs_of, stored, compare)
    return latest


def seedless(config: RunConfig) -> str:
    """What is the same in an arm's runs on all seeds."""
    return config.model_copy(update={"seed": 0}).run_id


def _check_first_look(seeds: int, seconds: float, budget: float) -> None:
    if seeds * seconds > budget:
        need = f"the first look, after {seeds} seeds, takes about {seeds * seconds:.0f} s"
        raise BadInput(f"budget: {need}; give more than that, or fewer steps")


def _until_decided(
    compared: Callable[[Sequence[int]], Comparison],
    design: Design,
    seconds: Callable[[], float],
    limit: tuple[float, float],
    on_look: Callable[[Look], None] | None,
) -> Comparison:
    started, (begin, budget) = time.monotonic(), limit
    for look, following in zip(design.looks, [*design.looks[1:], None], strict=True):
        comparison = compared(range(look))
        each = max((time.monotonic() - started) / look, seconds())  # runs that were there took no time now
        ahead = each * (following - look) if following else 0.0
        still = [one for one in comparison.judged if is_open(one, design)]
        is_spent = time.monotonic() - begin + ahead > budget
        reason = distributed.broadcast_from_main(_reason, comparison, still, following, is_spent)
        if on_look:
            on_look(Look(look, tuple(map(_line, still)), None if reason else following, ahead, reason))
        if reason:
            break
    return comparison


def is_open(one: Judged, design: Design) -> bool:
    """Whether more seeds could decide a comparison that is undecided."""
    difference, seeds = one.difference, one.difference.interval.count
    if difference.kind != "undecided" or seeds >= design.max_seeds:
        return False
    level = design.one_sided(0.05 / difference.tests, design.max_seeds)
    return chance(difference.interval, difference.margin, design.max_seeds, level) >= HOPELESS


def _reason(comparison: Comparison, still: Sequence[Judged], following: int | None, is_spent: bool) -> str:
    undecided = [one for one in comparison.judged if one.difference.kind == "undecided"]
    if not undecided:
        return "every comparison is decided: it ends here"
    if not still and following:
        return f"{len(undecided)} undecided, and the seeds left would hardly change that: it ends here"
    if following is None:
        return f"{len(undecided)} undecided, and these were the most seeds allowed"
    return "the next look would exceed the budget: it ends here" if is_spent else ""


def _line(one: Judged) -> str:
    difference, more = one.difference, one.difference.more_seeds
    about = "" if more is None else f" (about {more} more)"
    return f"{difference.pair.a} against {difference.pair.b} undecided{about}"


def seed_list(seeds: int | Iterable[int]) -> list[int]:
    """The seeds 0, 1, … of a number, or the given ones.

    Raises:
        BadInput: None, or one twice.
    """
    if isinstance(seeds, int) and seeds > MAX_SEED_COUNT:
        raise BadInput(f"seeds={seeds:,}; at most {MAX_SEED_COUNT:,}")
    numbers = list(range(seeds)) if isinstance(seeds, int) else list(seeds)
    if not numbers or len(set(numbers)) < len(numbers):
        raise BadInput(f"seeds={seeds!r}; give at least one, and none twice")
    return numbers


def seconds_of(budget: str) -> float:
    """Seconds of "90", "90s", "20m" or "1.5h".

    Raises:
        BadInput: Anything else.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", budget.strip())
    if match is None or float(match[1]) == 0:
        raise BadInput(f"budget={budget!r}; give a time such as 90s, 20m or 1.5h")
    return float(match[1]) * UNITS[match[2] or "s"]
