"""Differences that hold for new examples and new seeds: seeds and test examples crossed, both drawn at random.

d_si = μ + S_s + E_i + ε_si is the difference of two arms on seed s and example i. This is the analysis of readers and
cases in radiology, with seeds for readers: Dorfman, Berbaum & Metz (1992), its degrees of freedom by Hillis (2007,
Statistics in Medicine 26, 596-619, equation 10).
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from neatlab.analysis.statistics import NAN, SAME, Interval, mean_interval, quantile

Values = NDArray[np.float64]
Compute = Callable[[NDArray[np.floating], NDArray[np.floating]], float]


def pseudo_values(compute: Compute, true: NDArray[np.floating], predicted: NDArray[np.floating]) -> Values:
    """What each example contributes to a score, m·θ − (m−1)·θ₋ᵢ; for a mean over examples its terms.

    Args:
        compute: (true, predicted) → the score θ.
        true: m true values.
        predicted: m predicted ones.

    Returns:
        m pseudo-values of the jackknife; their mean is θ up to its bias.
    """
    _, first, which = np.unique(np.stack([true, predicted]), axis=1, return_index=True, return_inverse=True)
    count, every = len(true), np.arange(len(true))
    without = [compute(true[every != i], predicted[every != i]) for i in first]  # alike examples leave the same out
    whole = compute(true, predicted)
    return count * whole - (count - 1) * np.asarray(without, dtype=float)[which.reshape(-1)]


def crossed_difference(a: Mapping[int, Values], b: Mapping[int, Values]) -> Interval:
    """Interval of a − b for new examples and new seeds; of one shared seed for new examples alone.

    Args:
        a: Seed → what each test example contributes to the score.
        b: The same for the other arm, on the same examples.
    """
    shared = sorted(a.keys() & b.keys())
    return crossed_interval(np.stack([a[seed] - b[seed] for seed in shared])) if shared else Interval(NAN, NAN, NAN, 0)


def crossed_interval(differences: Values) -> Interval:
    """Mean and 95 % interval of n × m differences, seeds by examples; NaN bounds where they show no spread.

    It never claims more than the interval over seeds alone, at any level: with few seeds the degrees of freedom,
    estimated too, would promise more than they keep.
    """
    n, m = differences.shape
    mean, scale = float(differences.mean()), float(np.abs(differences).max(initial=0.0))
    variance, freedom, fixed = _components(differences)
    if m < 2 or variance <= (SAME * scale) ** 2:
        return Interval(mean, NAN, NAN, n)
    half = quantile(freedom) * variance**0.5
    crossed, over_seeds = Interval(mean, mean - half, mean + half, n, freedom), mean_interval(differences.mean(axis=1))
    if not over_seeds.half_width > 0:
        return replace(crossed, fixed=fixed)
    wide, other = (over_seeds, crossed) if over_seeds.half_width > half else (crossed, over_seeds)
    return replace(wide, fixed=fixed, floor=other)


def _components(d: Values) -> tuple[float, float, float]:
    """Variance of the mean, its degrees of freedom, and the part of it that more seeds do not lower."""
    n, m = d.shape
    of_examples = n * d.mean(axis=0).var(ddof=1) if m > 1 else 0.0  # mean square: σ²_ε + n·σ²_E
    if n == 1:
        return float(of_examples / m), m - 1, float(of_examples / m)
    rest = d - d.mean(axis=0) - d.mean(axis=1, keepdims=True) + d.mean()
    of_rest = (rest**2).sum() / ((n - 1) * max(m - 1, 1))  # σ²_ε
    of_seeds = m * d.mean(axis=1).var(ddof=1)  # σ²_ε + m·σ²_S
    examples = max(of_examples - of_rest, 0.0)
    freedom = (of_seeds + examples) ** 2 / (of_seeds**2 / (n - 1)) if of_seeds > 0 else m - 1
    return float((of_seeds + examples) / (n * m)), float(min(freedom, 1e6)), float(examples / (n * m))
