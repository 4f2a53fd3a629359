"""METRICS against their textbook definitions, transcribed slowly."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata

from neatlab.tasks.metrics import METRICS

LABELS = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=2, max_size=40)


def counts(pairs):
    return [sum(pair == kind for pair in pairs) for kind in ((1, 1), (0, 1), (1, 0), (0, 0))]


def matthews(pairs):
    tp, fp, fn, tn = counts(pairs)
    below = math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    return (tp * tn - fp * fn) / below if below else 0.0


def f1(pairs):
    tp, fp, fn, _tn = counts(pairs)
    return 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else 0.0


def accuracy(pairs):
    return sum(a == b for a, b in pairs) / len(pairs)


@pytest.mark.parametrize(
    ("name", "slow"), [("accuracy", accuracy), ("matthews", matthews), ("f1", f1), ("exact-match", accuracy)]
)
@settings(max_examples=60)
@given(pairs=LABELS)
def test_labels(name, slow, pairs):
    true, predicted = zip(*pairs, strict=True)
    assert METRICS[name].compute(true, predicted) == pytest.approx(slow(pairs), abs=1e-9)


def test_macro_f1_is_the_mean_of_each_labels():
    true, predicted = [0, 1, 2, 2, 1, 0], [0, 2, 2, 2, 1, 1]
    each = [f1([(a == label, b == label) for a, b in zip(true, predicted, strict=True)]) for label in range(3)]
    assert METRICS["macro-f1"].compute(true, predicted) == pytest.approx(sum(each) / 3)


def pearson(x, y):
    x, y = x - x.mean(), y - y.mean()
    return (x * y).sum() / math.sqrt((x * x).sum() * (y * y).sum())


def test_correlations_and_that_spearman_is_pearson_of_ranks():
    x, y = np.random.default_rng(0).normal(size=(2, 50)).round(1)
    assert METRICS["pearson"].compute(x, y) == pytest.approx(pearson(x, y))
    assert METRICS["spearman"].compute(x, y) == pytest.approx(pearson(rankdata(x), rankdata(y)))
    assert METRICS["spearman"].compute(x, np.exp(x)) == pytest.approx(1)
    assert METRICS["pearson"].compute(x, np.exp(x)) < 0.95


@pytest.mark.parametrize("name", ["pearson", "spearman", "matthews"])
def test_a_constant_prediction_tells_nothing(name):
    assert METRICS[name].compute([0, 1, 1, 0], [1, 1, 1, 1]) == 0


def test_predictions_that_are_not_finite_have_no_correlation():
    assert math.isnan(METRICS["pearson"].compute([0.0, 1.0, 2.0], [0.0, math.nan, 1.0]))


def test_exact_match_compares_whole_texts_without_the_space_around_them():
    assert METRICS["exact-match"].compute(["12", "3", "40"], [" 12", "03", "4"]) == pytest.approx(1 / 3)


def test_every_row_says_name_unit_and_direction():
    assert len({row.metric.name for row in METRICS.values()}) == len(METRICS)
    assert all(row.metric.unit and row.metric.higher_is_better for row in METRICS.values())
