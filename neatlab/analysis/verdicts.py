"""What a difference between two arms allows one to say: better, as good, not worse, or undecided.

Three families of tests, each corrected by Holm's method over all pairs at 5 %: superiority (two-sided t-tests),
equivalence (two one-sided tests against ±margin: Schuirmann 1987), and non-inferiority of the cheaper arm (one of these
two). A pair can break the level of one family alone: no difference is 0 and as large as the margin.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from neatlab.analysis.looks import Design
from neatlab.analysis.statistics import LEVEL, NAN, POWER, Interval, Scores, holm, paired_difference, quantile
from neatlab.errors import BadInput
from neatlab.runtime.lazy import lazy

stats = lazy("scipy.stats")

Kind = Literal["better", "as-good", "not-worse", "undecided"]
MOST_SEEDS = 1000  # beyond it nobody waits


class Pair(NamedTuple):
    """Two arms to be judged.

    Args:
        a: The arm that is compared.
        b: The arm that it is compared with.
        interval: Of a − b.
        cheaper: Which of them has fewer parameters; None where neither has.
    """

    a: str
    b: str
    interval: Interval
    cheaper: str | None = None


@dataclass(frozen=True)
class Difference:
    """a − b in one metric, as one of several comparisons.

    Args:
        pair: The arms, and the interval of their difference, not corrected.
        higher_is_better: The metric's direction.
        margin: The largest difference that does not matter.
        tests: How many comparisons there are.
        p_holm: p of superiority, corrected for all of them.
        p_equivalence: The larger p of the two one-sided tests.
        p_equivalence_holm: The same, corrected.
        p_not_worse_holm: p that the cheaper arm is worse by the margin or more, corrected; NaN without one.
        looks: After how many seeds one looks, if that is more than once; corrected p-values are corrected for it too.
    """

    pair: Pair
    higher_is_better: bool
    margin: float
    tests: int
    p_holm: float
    p_equivalence: float
    p_equivalence_holm: float
    p_not_worse_holm: float
    looks: tuple[int, ...] = ()

    @property
    def interval(self) -> Interval:
        """Of a − b, not corrected."""
        return self.pair.interval

    @property
    def shown(self) -> bool:
        """Whether a difference may be claimed: the corrected p is at most 0.05 and the interval excludes zero."""
        return self.interval.count > 1 and self.interval.excludes_zero and self.p_holm <= LEVEL

    @property
    def kind(self) -> Kind:
        """What may be said; of a difference that is shown and within the margin, that it does not matter.

        Of a single seed nothing: its interval on new examples is that of these two trained models alone.
        """
        if self.interval.count < 2:
            return "undecided"
        if self.p_equivalence_holm <= LEVEL:
            return "as-good"
        if self.shown:
            return "better"
        return "not-worse" if self.p_not_worse_holm <= LEVEL else "undecided"

    @property
    def leader(self) -> str:
        """The arm with the better mean."""
        return self.pair.a if (self.interval.mean > 0) == self.higher_is_better else self.pair.b

    @property
    def winner(self) -> str | None:
        """The better arm, or the cheaper one that is not worse."""
        if self.kind == "better":
            return self.leader
        return self.pair.cheaper if self.kind == "not-worse" else None

    @property
    def more_seeds(self) -> int | None:
        """About how many more seeds decide four times in five, were the difference and spread those seen.

        0 where it is decided; None where that takes more than a thousand, or where no number of seeds would, the test
        examples being too few.
        """
        if self.kind != "undecided":
            return 0
        count, interval = self.interval.count, self.interval
        if count < 2 or not interval.half_width > 0 or not self._decides(MOST_SEEDS):
            return None
        low, high = count, MOST_SEEDS
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self._decides(middle) else (middle, high)
        return high - count

    def _decides(self, seeds: int) -> bool:
        """Whether that many seeds would show the difference seen, or that it is within the margin, with 80 % power."""
        interval, level = self.interval, LEVEL / self.tests
        of_seeds = max(interval.standard_error**2 - interval.fixed, 0.0) * interval.count
        error = math.sqrt(interval.fixed + of_seeds / seeds)
        freedom = interval.degrees * (seeds - 1) / (interval.count - 1)
        sizes = abs(interval.mean) / error, self.margin / error
        superior = stats.norm.cdf(sizes[0] - quantile(freedom, level))
        critical = quantile(freedom, 2 * level)
        inside = [stats.norm.cdf(sizes[1] + sign * sizes[0] - critical) for sign in (1, -1)]
        lead = _lead(self.pair, self.higher_is_better).mean if self.pair.cheaper else -math.inf
        not_worse = stats.norm.cdf((self.margin + lead) / error - critical)
        return max(superior, sum(inside) - 1, not_worse) >= POWER


def seed_pairs(
    scores: Mapping[str, Scores], pairs: Sequence[tuple[str, str]], costs: Mapping[str, float] | None = None
) -> list[Pair]:
    """Pairs judged over seeds: every difference paired by seed.

    Args:
        scores: Arm → seed → score.
        pairs: Arms a and b of each comparison.
        costs: Arm → what it costs, such as its parameters; the cheaper of a pair may be not worse.
    """
    return [Pair(a, b, paired_difference(scores[a], scores[b]), cheaper(a, b, costs or {})) for a, b in pairs]


def cheaper(a: str, b: str, costs: Mapping[str, float]) -> str | None:
    """Which of two arms costs less; None where that is not known, or they cost the same."""
    first, second = costs.get(a, NAN), costs.get(b, NAN)
    return a if first < second else b if second < first else None


def judge(
    pairs: Sequence[Pair], margin: float, higher_is_better: bool, design: Design | None = None
) -> list[Difference]:
    """Every pair's difference, corrected for all of them.

    Args:
        pairs: The comparisons.
        margin: The largest difference that does not matter.
        higher_is_better: The metric's direction.
        design: After how many seeds one looks, if that is more than once.

    Raises:
        BadInput: A margin that is negative or not finite.
    """
    check_margin(margin)
    two_sided = None if design is None else _critical(design.two_sided, pairs)
    one_sided = None if design is None else _critical(design.one_sided, pairs)
    superior = [pair.interval.p_value for pair in pairs]
    equivalent = [equivalence(pair.interval, margin) for pair in pairs]
    not_worse = [_not_worse(pair, margin, higher_is_better) for pair in pairs]
    tests = max(1, sum(not math.isnan(p) for p in superior))
    corrected = holm(superior, two_sided), equivalent, holm(equivalent, one_sided), holm(not_worse, one_sided)
    columns = zip(pairs, *corrected, strict=True)
    looks = () if design is None else design.looks
    return [
        Difference(pair, higher_is_better, margin, tests, p_holm, p, p_equivalence_holm, p_not_worse_holm, looks)
        for pair, p_holm, p, p_equivalence_holm, p_not_worse_holm in columns
    ]


def _critical(level_at: Callable[[float, int], float], pairs: Sequence[Pair]) -> Callable[[float, int], float]:
    return lambda level, index: level_at(level, pairs[index].interval.count)


def equivalence(interval: Interval, margin: float) -> float:
    """p of two one-sided tests that the true difference lies within ±margin: the larger of the two."""
    return max(interval.p_above(-margin), (-interval).p_above(-margin))


def check_margin(margin: float) -> None:
    """Refuse a margin that bounds nothing.

    Raises:
        BadInput: It is negative, or not a finite number.
    """
    if not math.isfinite(margin) or margin < 0:
        raise BadInput(f"margin={margin:g}; give the largest difference that does not matter, a number from 0")


def _not_worse(pair: Pair, margin: float, higher_is_better: bool) -> float:
    """p that the cheaper arm is worse by the margin or more."""
    return NAN if pair.cheaper is None else _lead(pair, higher_is_better).p_above(-margin)


def _lead(pair: Pair, higher_is_better: bool) -> Interval:
    """By how much the cheaper arm is better."""
    return pair.interval if (pair.cheaper == pair.a) == higher_is_better else -pair.interval
