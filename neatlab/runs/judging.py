"""The intervals that two arms are judged by: over new seeds alone, or over new examples and new seeds."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from neatlab.analysis.crossed import Values, crossed_difference, pseudo_values
from neatlab.analysis.looks import Design
from neatlab.analysis.statistics import Interval, paired_difference
from neatlab.analysis.verdicts import Difference, Pair, cheaper, check_margin, judge
from neatlab.errors import BadInput, unknown
from neatlab.runs.arms import Over
from neatlab.runs.run import Run
from neatlab.runtime.numbers import or_nan
from neatlab.tasks.metrics import METRICS, Metric
from neatlab.tasks.outcomes import Outcomes, same_examples

OVERS: tuple[Over, ...] = ("examples", "seeds")


class Judged(NamedTuple):
    """One comparison of two arms.

    Args:
        difference: What was judged.
        intervals: What they hold for → intervals of a − b, as far as there are any.
        over: The one that it was judged by.
    """

    difference: Difference
    intervals: Mapping[Over, Interval]
    over: Over


class Judge:
    """Holds arms against each other.

    Args:
        arms: Label → the arm's runs.
        metric: What they are judged by.
        margin: The largest difference that does not matter; None for the metric's own.
        over: "examples" for new examples and new seeds wherever every run has its outcome per example, "seeds" for new
            seeds on these examples.
        design: After how many seeds one looks, if that is more than once.
        score: What a run's summary calls the metric; outcomes per example are kept of "metric" alone.

    Raises:
        BadInput: Another `over`, or a margin that is negative or not finite.
    """

    def __init__(
        self,
        arms: Mapping[str, Sequence[Run]],
        metric: Metric,
        margin: float | None = None,
        over: Over = "examples",
        design: Design | None = None,
        score: str = "metric",
    ) -> None:
        check_judging(margin, over)
        self.arms, self.metric, self.over, self.design, self.score = arms, metric, over, design, score
        self.margin = metric.margin if margin is None else margin
        self._costs = {label: float(or_nan(runs[0].summary.get("adapter_params"))) for label, runs in arms.items()}
        self._known: dict[str, dict[int, Values] | None] = {}

    def judge(self, pairs: Sequence[tuple[str, str]]) -> list[Judged]:
        """Every pair, its p-values corrected for all of them.

        Raises:
            BadInput: Arms of one pair that were tested on different examples.
        """
        intervals = [self._intervals(a, b) for a, b in pairs]
        overs = [next(name for name in (self.over, "seeds") if name in known) for known in intervals]
        chosen = zip(pairs, intervals, overs, strict=True)
        rows = [Pair(a, b, known[over], cheaper(a, b, self._costs)) for (a, b), known, over in chosen]
        differences = judge(rows, self.margin, self.metric.higher_is_better, self.design)
        return [Judged(*row) for row in zip(differences, intervals, overs, strict=True)]

    def _intervals(self, a: str, b: str) -> dict[Over, Interval]:
        scores = [{run.config.seed: or_nan(run.summary.get(self.score)) for run in self.arms[arm]} for arm in (a, b)]
        by_seed = paired_difference(*scores)
        first, second = (self.values(arm) if self.score == "metric" else None for arm in (a, b))
        if first is None or second is None or by_seed.count == 0:
            return {"seeds": by_seed}
        self._check_examples(a, b)
        crossed = crossed_difference(first, second)
        moved = crossed.moved(by_seed.mean - crossed.mean)  # by the jackknife's bias
        return {"examples": moved, "seeds": by_seed}

    def values(self, arm: str) -> dict[int, Values] | None:
        """Seed → what each example contributes; None where a run has not kept it."""
        if arm not in self._known:
            scored = [run for run in self.arms[arm] if run.summary.get("metric") is not None]
            outcomes = [(run.config.seed, run.outcomes) for run in scored]
            values = {seed: contributions(one, self.metric) for seed, one in outcomes if one is not None}
            self._known[arm] = values if len(values) == len(outcomes) else None
        return self._known[arm]

    def _check_examples(self, a: str, b: str) -> None:
        first, *others = [run.outcomes for arm in (a, b) for run in self.arms[arm] if run.outcomes is not None]
        if not all(same_examples(first, other) for other in others):
            raise BadInput(f"{a} and {b} were tested on different examples, so their scores cannot be compared")


def check_judging(margin: float | None, over: str) -> None:
    """Refuse what nothing can be judged by.

    Raises:
        BadInput: Another `over` than there are, or a margin that is negative or not finite.
    """
    if over not in OVERS:
        raise unknown("over", over, OVERS)
    if margin is not None:
        check_margin(margin)


def contributions(outcomes: Outcomes, metric: Metric) -> Values:
    """What each example adds to a score: pseudo-values of the metric's jackknife.

    Args:
        outcomes: Of the test split.
        metric: The task's.
    """
    measures = (row for row in METRICS.values() if row.metric.name == metric.name)
    return pseudo_values(next(measures, METRICS["accuracy"]).compute, outcomes.true, outcomes.predicted)
