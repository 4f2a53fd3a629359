"""Intervals against scipy on known data, and what is said from them."""

import math

import numpy as np
import pytest
from scipy import stats

from neatlab.analysis.statistics import mean_interval, paired_difference, sentence

DATA = [0.81, 0.84, 0.79, 0.86, 0.80]


def test_interval_equals_scipys():
    found = mean_interval(DATA)
    low, high = stats.t.interval(0.95, len(DATA) - 1, loc=np.mean(DATA), scale=stats.sem(DATA))
    assert (found.mean, found.low, found.high) == pytest.approx((np.mean(DATA), low, high))


def test_paired_difference_equals_scipys_paired_test():
    other = [0.78, 0.85, 0.75, 0.80, 0.79]
    found = paired_difference(dict(enumerate(DATA)), dict(enumerate(other)))
    expected = stats.ttest_rel(DATA, other).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_only_shared_seeds_are_paired():
    found = paired_difference({0: 1.0, 1: 2.0, 2: 3.0}, {1: 1.0, 2: 1.5, 9: 7.0})
    assert found.count == 2
    assert found.mean == pytest.approx(1.25)


def test_one_value_has_no_interval():
    found = mean_interval([0.5])
    assert found.mean == 0.5
    assert math.isnan(found.low)
    assert not found.excludes_zero


def test_runs_without_a_score_are_left_out():
    assert mean_interval([1.0, float("nan"), 3.0]).mean == 2.0


def test_sentences():
    shown = mean_interval([0.1, 0.11, 0.09])
    assert sentence("a", "b", shown, "accuracy", True).startswith("a is better than b in accuracy")
    assert sentence("a", "b", shown, "error", False).startswith("b is better than a in error")
    covering = mean_interval([0.1, -0.1, 0.05])
    said = sentence("a", "b", covering, "accuracy", True)
    assert said.startswith("No difference shown between a and b")
    assert f"{covering.half_width:.4f} could not have been seen" in said
    assert "too few" in sentence("a", "b", mean_interval([0.1]), "accuracy", True)


def test_a_true_null_is_rejected_about_one_time_in_twenty():
    draws = np.random.default_rng(0).normal(size=(2000, 2, 3))
    found = [paired_difference(dict(enumerate(a)), dict(enumerate(b))).excludes_zero for a, b in draws]
    assert 0.035 < np.mean(found) < 0.065
