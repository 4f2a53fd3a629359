"""Intervals over seeds, paired tests, Holm's correction, and Pareto fronts."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from neatlab.runtime.lazy import lazy

optimize, stats = lazy("scipy.optimize"), lazy("scipy.stats")

NAN = float("nan")
LEVEL = 0.05
POWER = 0.8
SAME = 1e-12  # of the scores: a smaller spread is rounding

Scores = Mapping[int, float]  # seed → score


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % t-interval; NaN bounds where the values do not give one.

    Args:
        mean: The mean.
        low: Lower end.
        high: Upper end.
        count: Seeds.
        freedom: Degrees of freedom; None for one less than seeds.
        fixed: The part of the mean's variance that more seeds do not lower.
        floor: An interval of the same mean that this one may claim no more than, at any level.
    """

    mean: float
    low: float
    high: float
    count: int
    freedom: float | None = None
    fixed: float = 0.0
    floor: "Interval | None" = None

    def __neg__(self) -> "Interval":
        """Of b − a, where this is of a − b."""
        floor = None if self.floor is None else -self.floor
        return Interval(-self.mean, -self.high, -self.low, self.count, self.freedom, self.fixed, floor)

    def moved(self, shift: float) -> "Interval":
        """The same about another mean."""
        floor = None if self.floor is None else self.floor.moved(shift)
        return replace(self, mean=self.mean + shift, low=self.low + shift, high=self.high + shift, floor=floor)

    @property
    def degrees(self) -> float:
        """Degrees of freedom of its t."""
        return self.count - 1 if self.freedom is None else self.freedom

    @property
    def half_width(self) -> float:
        """Half the interval."""
        return (self.high - self.low) / 2

    @property
    def excludes_zero(self) -> bool:
        """Whether the whole interval lies on one side of zero; False without an interval."""
        return self.low > 0 or self.high < 0

    @property
    def standard_error(self) -> float:
        """s/√n, as the interval was made from it."""
        return self.half_width / quantile(self.degrees) if self.degrees > 0 else NAN

    @property
    def p_value(self) -> float:
        """Two-sided p of the t-test that the mean is 0; NaN where there is none, 1 where the values show no spread."""
        if self.degrees <= 0:
            return NAN
        error, least = self.standard_error, 0.0 if self.floor is None else self.floor.p_value
        return max(least, float(2 * stats.t.sf(abs(self.mean) / error, self.degrees))) if error > 0 else 1.0

    def p_above(self, bound: float) -> float:
        """One-sided p against a true mean of `bound` or less; as `p_value` where there is no interval."""
        if self.degrees <= 0:
            return NAN
        error, least = self.standard_error, 0.0 if self.floor is None else self.floor.p_above(bound)
        return max(least, float(stats.t.sf((self.mean - bound) / error, self.degrees))) if error > 0 else 1.0

    def within(self, level: float) -> tuple[float, float]:
        """Ends of the interval of confidence 1 − level."""
        half = quantile(self.degrees, level) * self.standard_error if self.degrees > 0 else NAN
        low, high = (self.mean, self.mean) if self.floor is None else self.floor.within(level)
        return min(low, self.mean - half), max(high, self.mean + half)

    def detectable(self, tests: int = 1) -> float:
        """The true difference that a paired t-test finds four times in five, at this spread and number of seeds.

        δ = λ · s/√n, where the noncentral t of n − 1 degrees of freedom and noncentrality λ exceeds the critical
        value of a two-sided test at level 0.05/`tests` with probability 0.8. The half width would promise less than
        it seems to: a true difference of that size is found about every second time only.

        Args:
            tests: How many comparisons share the level; Holm's first step holds the smallest p to 0.05/`tests`.

        Returns:
            δ, the minimal detectable difference at 80 % power; NaN without an interval.
        """
        return _noncentrality(self.degrees, tests) * self.standard_error if self.degrees > 0 else NAN


def mean_interval(values: Iterable[float]) -> Interval:
    """Mean and 95 % confidence interval, x̄ ± t₀.₉₇₅,ₙ₋₁ · s/√n; values that are not numbers are left out."""
    known = np.array([v for v in values if math.isfinite(v)], dtype=float)
    if len(known) < 2:
        return Interval(float(known[0]) if len(known) else NAN, NAN, NAN, len(known))
    mean, half = float(known.mean()), float(quantile(len(known) - 1) * known.std(ddof=1) / math.sqrt(len(known)))
    return Interval(mean, mean - half, mean + half, len(known))


def paired_difference(a: Scores, b: Scores) -> Interval:
    """Interval of a − b over the seeds that both have: same seed, same data order, same start.

    Scores come in steps (one test example more or less), so two or three differences can be equal by chance. A
    t-interval would then have no width and call any difference certain; without a spread there is no interval here.

    Args:
        a: Seed → score.
        b: Seed → score.
    """
    pairs = [(a[s], b[s]) for s in sorted(a.keys() & b.keys()) if math.isfinite(a[s]) and math.isfinite(b[s])]
    interval = mean_interval([x - y for x, y in pairs])
    if interval.half_width <= SAME * max((abs(score) for pair in pairs for score in pair), default=0.0):
        return Interval(interval.mean, NAN, NAN, interval.count)
    return interval


def holm(p_values: Sequence[float], critical: Callable[[float, int], float] | None = None) -> list[float]:
    """Holm's corrected p-values: the k-th smallest of m times m − k + 1, never below the one before, at most 1.

    Args:
        p_values: Uncorrected; NaN marks a comparison that could not be tested and does not count.
        critical: (level, index) → what p is held to where a test of that level looks more than once; the level itself
            by default. Corrected values are then such that those at most 0.05 are rejected.

    Returns:
        Corrected values in the same order.

    Source: Holm (1979), A simple sequentially rejective multiple test procedure.
    """
    of_level = critical or (lambda level, _: level)
    known = [index for index, p in enumerate(p_values) if not math.isnan(p)]
    tested = sorted(known, key=lambda index: p_values[index] / of_level(LEVEL, index))
    corrected, highest = [NAN] * len(p_values), 0.0
    for done, index in enumerate(tested):
        ratio = p_values[index] / of_level(LEVEL / (len(tested) - done), index)
        highest = max(highest, min(1.0, LEVEL * ratio))
        corrected[index] = highest
    return corrected


def pareto_front(costs: Sequence[float], scores: Sequence[float], higher_is_better: bool) -> list[bool | None]:
    """Which points no other point beats: as cheap and as good, and one of the two strictly.

    Args:
        costs: What each point costs; less is better.
        scores: What it reaches.
        higher_is_better: Direction of the scores.

    Returns:
        For each point whether it is on the front; None where its cost or score is not known.
    """
    sign = -1.0 if higher_is_better else 1.0
    points = [(cost, sign * score) for cost, score in zip(costs, scores, strict=True)]
    known = [point for point in points if _is_known(point)]
    return [not any(_beats(other, p) for other in known) if _is_known(p) else None for p in points]


def _is_known(point: tuple[float, float]) -> bool:
    return math.isfinite(point[0]) and math.isfinite(point[1])


def _beats(a: tuple[float, float], b: tuple[float, float]) -> bool:
    return a[0] <= b[0] and a[1] <= b[1] and a != b


@lru_cache(maxsize=4096)
def quantile(freedom: float, level: float = LEVEL) -> float:
    """Critical value of a two-sided t-test."""
    return float(stats.t.isf(level / 2, freedom))


@lru_cache
def _noncentrality(freedom: float, tests: int) -> float:
    critical = quantile(freedom, LEVEL / tests)
    return float(optimize.brentq(lambda nc: stats.nct.sf(critical, freedom, nc) - POWER, 0.0, 20 * critical + 20))
