"""Intervals over seeds, and what may be said from them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

NAN = float("nan")


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % t-interval; NaN bounds where there are fewer than two values."""

    mean: float
    low: float
    high: float
    count: int

    @property
    def half_width(self) -> float:
        """Half the interval: a true difference smaller than this could not have been shown."""
        return (self.high - self.low) / 2

    @property
    def excludes_zero(self) -> bool:
        """Whether the whole interval lies on one side of zero; False without an interval."""
        return self.low > 0 or self.high < 0


def mean_interval(values: Sequence[float]) -> Interval:
    """Mean and 95 % confidence interval, x̄ ± t₀.₉₇₅,ₙ₋₁ · s/√n; values that are not numbers are left out."""
    known = np.array([v for v in values if math.isfinite(v)], dtype=float)
    if len(known) < 2:
        return Interval(float(known[0]) if len(known) else NAN, NAN, NAN, len(known))
    half = stats.t.ppf(0.975, len(known) - 1) * known.std(ddof=1) / math.sqrt(len(known))
    return Interval(float(known.mean()), float(known.mean() - half), float(known.mean() + half), len(known))


def paired_difference(a: dict[int, float], b: dict[int, float]) -> Interval:
    """Interval of a − b over the seeds that both have: same seed, same data order, same start.

    Args:
        a: Seed → score.
        b: Seed → score.
    """
    return mean_interval([a[seed] - b[seed] for seed in sorted(a.keys() & b.keys())])


def sentence(a: str, b: str, difference: Interval, metric: str, higher_is_better: bool) -> str:
    """What the paired difference a − b allows one to say, in one plain sentence."""
    if difference.count < 2:
        return f"{a} against {b}: {difference.count} shared seed(s), too few to say anything; take 3 or more."
    bounds = f"{difference.mean:+.4f}, 95 % interval {difference.low:+.4f} to {difference.high:+.4f}"
    if not difference.excludes_zero:
        return (
            f"No difference shown between {a} and {b} in {metric} ({bounds}); "
            f"with these {difference.count} seeds one below {difference.half_width:.4f} could not have been seen."
        )
    better = a if (difference.mean > 0) == higher_is_better else b
    worse = b if better == a else a
    return f"{better} is better than {worse} in {metric} ({a} − {b}: {bounds})."
