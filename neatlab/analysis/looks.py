"""Looking at the results after some of the seeds, and again after more, without claiming too much.

The 5 % are spent over the looks as Lan & DeMets (1983) do, by Kim & DeMets' (1987) function α·t³: little at first, most
at the end. What a look may spend is turned into a level for its p-value by simulating the very statistic, t on all
seeds so far, where there is no difference: with three seeds a normal approximation would not do.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from neatlab.analysis.statistics import LEVEL, Interval
from neatlab.errors import BadInput
from neatlab.runtime.lazy import lazy

stats = lazy("scipy.stats")

LOOKS = (3, 4, 5, 6, 8, 10, 13, 16, 20)
MAX_SEEDS = 20
SIMULATED = 400_000
TOO_RARE = (
    1e-4  # a share that so many simulations do not tell; it is then its own level, which is less than it could be
)


def looks_until(max_seeds: int) -> tuple[int, ...]:
    """After how many seeds one looks.

    Raises:
        BadInput: Fewer than two seeds at most.
    """
    if max_seeds < 2:
        raise BadInput(f"max_seeds={max_seeds}; a spread takes at least 2 seeds")
    return (*(look for look in LOOKS if look < max_seeds), max_seeds)


@dataclass(frozen=True)
class Design:
    """Looks, and what each of them may claim.

    Args:
        looks: After how many seeds one looks, rising.
    """

    looks: tuple[int, ...]

    def two_sided(self, level: float, seeds: int) -> float:
        """Level of a two-sided p after so many seeds, of a test that holds `level` over all looks."""
        return self._levels(level, True)[self._index(seeds)]

    def one_sided(self, level: float, seeds: int) -> float:
        """The same of a one-sided p."""
        return self._levels(level, False)[self._index(seeds)]

    @property
    def max_seeds(self) -> int:
        """The last look."""
        return self.looks[-1]

    def _index(self, seeds: int) -> int:
        """The last look that these seeds reach; the first before it."""
        return max(sum(look <= seeds for look in self.looks) - 1, 0)

    def _levels(self, level: float, two_sided: bool) -> tuple[float, ...]:
        return _nominal_levels(self.looks, round(level, 12), two_sided)


def spent(level: float, share: float) -> float:
    """How much of a level may be spent once a share of the seeds is there: α·t³."""
    return level * share**3


@lru_cache(maxsize=256)
def _nominal_levels(looks: Sequence[int], level: float, two_sided: bool) -> tuple[float, ...]:
    """Level of the p-value at each look, so that each spends what it may and no more."""
    values, levels, before = _null_values(tuple(looks)), [], 0.0
    values = np.abs(values) if two_sided else values
    alive = np.ones(len(values), dtype=bool)
    for index, look in enumerate(looks):
        total = spent(level, look / looks[-1])
        share, before = total - before, total
        if share < TOO_RARE:
            critical = stats.t.isf(share / 2 if two_sided else share, look - 1)
        else:  # so many of the paths that have not crossed before may cross now
            crossing = min(round(share * len(values)), alive.sum() - 1)
            critical = np.partition(values[alive, index], -crossing - 1)[-crossing - 1]
        alive &= values[:, index] <= critical
        levels.append(float(stats.t.sf(critical, look - 1)) * (2 if two_sided else 1))
    return tuple(levels)


@lru_cache(maxsize=8)
def _null_values(looks: tuple[int, ...]) -> NDArray[np.float64]:
    """t of the seeds so far at each look, simulated where there is no difference; paths by looks."""
    draws = np.random.default_rng(0).standard_normal((SIMULATED, looks[-1]), dtype=np.float32)
    sums, squares = draws.cumsum(axis=1), (draws**2).cumsum(axis=1)
    columns = []
    for n in looks:
        total, square = sums[:, n - 1].astype(float), squares[:, n - 1].astype(float)
        columns.append(total / np.sqrt(n * (square - total**2 / n) / (n - 1)))
    return np.stack(columns, axis=1)


def chance(interval: Interval, margin: float, seeds: int, level: float = LEVEL) -> float:
    """How likely a pair is decided once there are `seeds` seeds, given what is seen: predictive power.

    The mean of all seeds is then that of today plus the new seeds', which are predicted by Student's t.

    Args:
        interval: Of a − b today.
        margin: The largest difference that does not matter.
        seeds: How many there will be.
        level: Of either test then.
    """
    count, error = interval.count, interval.standard_error
    if count < 2 or not error > 0:
        return 1.0
    of_seeds = max(error**2 - interval.fixed, 0.0) * count  # variance of one seed
    later = np.sqrt(interval.fixed + of_seeds / seeds)
    wander = np.sqrt(of_seeds * max(seeds - count, 0) / (count * seeds))
    if wander == 0:
        wander = 1e-12 + error * 1e-6
    mean = abs(interval.mean)
    critical = stats.t.isf(level / 2, seeds - 1) * later
    superior = stats.t.sf((critical - mean) / wander, count - 1) + stats.t.cdf((-critical - mean) / wander, count - 1)
    room = margin - stats.t.isf(level, seeds - 1) * later
    inside = 0.0
    if room > 0:
        inside = stats.t.cdf((room - mean) / wander, count - 1) - stats.t.cdf((-room - mean) / wander, count - 1)
    return float(min(1.0, superior + inside))
