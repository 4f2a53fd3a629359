"""Intervals over seeds, paired tests with Holm's correction, Pareto fronts, and what may be said from them."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
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
    """A mean with its 95 % t-interval; NaN bounds where the values do not give one."""

    mean: float
    low: float
    high: float
    count: int

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
        return self.half_width / _quantile(self.count, LEVEL) if self.count > 1 else NAN

    @property
    def p_value(self) -> float:
        """Two-sided p of the t-test that the mean is 0; NaN below two values, 1 where they show no spread."""
        error = self.standard_error
        if self.count < 2:
            return NAN
        return float(2 * stats.t.sf(abs(self.mean) / error, self.count - 1)) if error > 0 else 1.0

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
        return _noncentrality(self.count, tests) * self.standard_error if self.count > 1 else NAN


def mean_interval(values: Iterable[float]) -> Interval:
    """Mean and 95 % confidence interval, x̄ ± t₀.₉₇₅,ₙ₋₁ · s/√n; values that are not numbers are left out."""
    known = np.array([v for v in values if math.isfinite(v)], dtype=float)
    if len(known) < 2:
        return Interval(float(known[0]) if len(known) else NAN, NAN, NAN, len(known))
    mean, half = float(known.mean()), float(_quantile(len(known), LEVEL) * known.std(ddof=1) / math.sqrt(len(known)))
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


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's corrected p-values: the k-th smallest of m times m − k + 1, never below the one before, at most 1.

    Args:
        p_values: Uncorrected; NaN marks a comparison that could not be tested and does not count.

    Returns:
        Corrected values in the same order.

    Source: Holm (1979), A simple sequentially rejective multiple test procedure.
    """
    tested = sorted((p, index) for index, p in enumerate(p_values) if not math.isnan(p))
    corrected, highest = [NAN] * len(p_values), 0.0
    for done, (p, index) in enumerate(tested):
        highest = max(highest, min(1.0, (len(tested) - done) * p))
        corrected[index] = highest
    return corrected


@dataclass(frozen=True)
class Difference:
    """a − b in one metric, as one of several comparisons.

    Args:
        a: The arm that is compared.
        b: The arm that it is compared with.
        interval: The paired difference by seed, its interval not corrected.
        p_holm: Its p-value, corrected for all comparisons.
        tests: How many comparisons those are.
    """

    a: str
    b: str
    interval: Interval
    p_holm: float
    tests: int

    @property
    def shown(self) -> bool:
        """Whether a difference may be claimed: the corrected p is at most 0.05 and the interval excludes zero."""
        return self.interval.excludes_zero and self.p_holm <= LEVEL


def compare_pairs(scores: Mapping[str, Scores], pairs: Iterable[tuple[str, str]]) -> list[Difference]:
    """Every pair's difference, corrected for all of them.

    Args:
        scores: Arm → seed → score.
        pairs: Arms a and b of each comparison.
    """
    chosen = list(pairs)
    intervals = [paired_difference(scores[a], scores[b]) for a, b in chosen]
    corrected = holm([interval.p_value for interval in intervals])
    tests = sum(not math.isnan(p) for p in corrected)
    return [Difference(a, b, i, p, tests) for (a, b), i, p in zip(chosen, intervals, corrected, strict=True)]


def sentence(difference: Difference, metric: str, higher_is_better: bool) -> str:
    """What a paired difference allows one to say, in one plain sentence.

    Args:
        difference: a − b.
        metric: The metric's name.
        higher_is_better: Its direction.
    """
    a, b, interval = difference.a, difference.b, difference.interval
    if interval.count < 2:
        return f"{a} against {b}: {interval.count} shared seed(s), too few to say anything; take 3 or more."
    if math.isnan(interval.half_width):
        return (
            f"No difference shown between {a} and {b} in {metric}: {a} − {b} is {interval.mean:+.4f} on each of the "
            f"{interval.count} shared seeds, which leaves no spread to judge it by; take more seeds."
        )
    if not difference.shown:
        detectable = interval.detectable(difference.tests)
        return (
            f"No difference shown between {a} and {b} in {metric} ({_numbers(difference)}); with these "
            f"{interval.count} seeds one below {detectable:.4f} could not have been seen (80 % power)."
        )
    better, worse = (a, b) if (interval.mean > 0) == higher_is_better else (b, a)
    return f"{better} is better than {worse} in {metric} ({a} − {b}: {_numbers(difference)})."


def _numbers(difference: Difference) -> str:
    interval, tests = difference.interval, difference.tests
    corrected = f", corrected for {tests} comparisons p = {difference.p_holm:.2g}" if tests > 1 else ""
    bounds = f"95 % interval {interval.low:+.4f} to {interval.high:+.4f}"
    return f"{interval.mean:+.4f}, {bounds}, p = {interval.p_value:.2g}{corrected}"


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


@lru_cache
def _quantile(count: int, level: float) -> float:
    """Critical value of a two-sided t-test on `count` values."""
    return float(stats.t.isf(level / 2, count - 1))


@lru_cache
def _noncentrality(count: int, tests: int) -> float:
    critical = _quantile(count, LEVEL / tests)
    return float(optimize.brentq(lambda nc: stats.nct.sf(critical, count - 1, nc) - POWER, 0.0, 20 * critical + 20))
