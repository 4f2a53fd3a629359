"""METRICS: what a task can be judged by, each computed by scikit-learn or scipy. One row a metric."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neatlab.runtime.lazy import lazy

sk, stats = lazy("sklearn.metrics"), lazy("scipy.stats")

Values = Sequence[Any] | NDArray[Any]


@dataclass(frozen=True)
class Metric:
    """A score's name, unit and direction, and what counts as no difference.

    Args:
        name: Its name.
        unit: Its unit, for people.
        higher_is_better: Its direction.
        margin: The largest difference that does not matter; the reasons stand in docs/compare.md.
    """

    name: str
    unit: str
    higher_is_better: bool
    margin: float = 0.01


@dataclass(frozen=True)
class Measure:
    """One row of METRICS.

    Args:
        metric: Name, unit and direction.
        compute: (true values, predicted values), one each an example → the score.
    """

    metric: Metric
    compute: Callable[[Values, Values], float]


def _matthews(true: Values, predicted: Values) -> float:
    if len({*true, *predicted}) < 2:  # scikit-learn's value, without its warning
        return 0.0
    return float(sk.matthews_corrcoef(true, predicted))


def _accuracy(true: Values, predicted: Values) -> float:
    return float(sk.accuracy_score(true, predicted))


def _f1(true: Values, predicted: Values) -> float:
    return float(sk.f1_score(true, predicted, pos_label=1, zero_division=0))


def _macro_f1(true: Values, predicted: Values) -> float:
    return float(sk.f1_score(true, predicted, average="macro", zero_division=0))


def _exact_match(true: Values, predicted: Values) -> float:
    return _accuracy([str(text).strip() for text in true], [str(text).strip() for text in predicted])


def _pearson(true: Values, predicted: Values) -> float:
    return _correlation(stats.pearsonr, true, predicted)


def _spearman(true: Values, predicted: Values) -> float:
    return _correlation(stats.spearmanr, true, predicted)


def _r2(true: Values, predicted: Values) -> float:
    """NaN where a value is not finite, or where there are not two examples to vary."""
    sides = [np.asarray(true, float), np.asarray(predicted, float)]
    if len(sides[0]) < 2 or not all(np.isfinite(side).all() for side in sides):
        return float("nan")
    return float(sk.r2_score(*sides))


def _correlation(of: Callable[[Any, Any], Any], true: Values, predicted: Values) -> float:
    """NaN where a value is not finite; 0 where a side is constant, which tells nothing (Matthews' convention)."""
    sides = [np.asarray(true, float), np.asarray(predicted, float)]
    if not all(np.isfinite(side).all() for side in sides):
        return float("nan")
    return 0.0 if any(np.ptp(side) == 0 for side in sides) else float(of(*sides).statistic)


ACCURACY = Metric("accuracy", "share of examples", True)
EXACT_MATCH = Metric("exact match", "share of examples", True, 0.02)

METRICS: dict[str, Measure] = {
    "accuracy": Measure(ACCURACY, _accuracy),
    "matthews": Measure(Metric("Matthews correlation", "−1 to 1", True, 0.02), _matthews),
    "pearson": Measure(Metric("Pearson correlation", "−1 to 1", True), _pearson),
    "spearman": Measure(Metric("Spearman correlation", "−1 to 1", True), _spearman),
    "r2": Measure(Metric("R²", "share of the variance explained", True, 0.02), _r2),
    "f1": Measure(Metric("F1", "0 to 1, label 1 the positive one", True), _f1),
    "macro-f1": Measure(Metric("macro F1", "0 to 1, mean over labels", True), _macro_f1),
    "exact-match": Measure(EXACT_MATCH, _exact_match),
}
