"""Intervals, tests and corrections against scipy and published values on known data."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from neatlab.analysis.statistics import holm, mean_interval, paired_difference, pareto_front

NAN = float("nan")
DATA = [0.81, 0.84, 0.79, 0.86, 0.80]
OTHER = [0.78, 0.85, 0.75, 0.80, 0.79]


def seeds(values):
    return dict(enumerate(values))


def test_interval_equals_scipys():
    found = mean_interval(DATA)
    low, high = stats.t.interval(0.95, len(DATA) - 1, loc=np.mean(DATA), scale=stats.sem(DATA))
    assert (found.mean, found.low, found.high) == pytest.approx((np.mean(DATA), low, high))
    assert found.standard_error == pytest.approx(stats.sem(DATA))


def test_paired_difference_equals_scipys_paired_test():
    found, expected = paired_difference(seeds(DATA), seeds(OTHER)), stats.ttest_rel(DATA, OTHER)
    interval = expected.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.p_value == pytest.approx(expected.pvalue)


def test_only_shared_seeds_with_scores_are_paired():
    found = paired_difference({0: 1.0, 1: 2.0, 2: 3.0, 3: NAN}, {1: 1.0, 2: 1.5, 3: 1.0, 9: 7.0})
    assert found.count == 2
    assert found.mean == pytest.approx(1.25)


def test_one_value_has_no_interval():
    found = mean_interval([0.5])
    assert found.mean == 0.5
    assert not found.excludes_zero
    assert all(map(math.isnan, (found.low, found.p_value, found.detectable())))


def test_runs_without_a_score_are_left_out():
    assert mean_interval([1.0, NAN, 3.0]).mean == 2.0


@pytest.mark.parametrize("offset", [0.0, 0.1, -1 / 360])
def test_equal_differences_are_no_certainty(offset):
    found = paired_difference(seeds([score + offset for score in DATA]), seeds(DATA))
    assert found.mean == pytest.approx(offset, abs=1e-12)
    assert math.isnan(found.low)
    assert found.p_value == 1.0


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),  # the usual worked example
        ([0.01, 0.02, 0.03], [0.03, 0.04, 0.04]),
        ([0.5, 0.6], [1.0, 1.0]),
        ([0.04], [0.04]),
        ([], []),
        ([0.02, NAN, 0.02], [0.04, NAN, 0.04]),
    ],
)
def test_holm_on_known_values(given_, expected):
    assert holm(given_) == pytest.approx(expected, nan_ok=True)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_rejects_what_its_step_down_procedure_rejects(p_values):
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    rejected = set()
    for done, index in enumerate(order):
        if p_values[index] * (len(p_values) - done) > 0.05:
            break
        rejected.add(index)
    assert {i for i, p in enumerate(holm(p_values)) if p <= 0.05} == rejected


@pytest.mark.parametrize(("count", "tests"), [(2, 1), (3, 1), (5, 1), (5, 8)])
def test_the_detectable_difference_is_found_four_times_in_five(count, tests):
    interval = mean_interval(DATA[:count])
    effect = interval.detectable(tests) / interval.standard_error / math.sqrt(count)
    draws = np.random.default_rng(0).normal(effect, 1, size=(20_000, count))
    found = stats.ttest_1samp(draws, 0, axis=1).pvalue <= 0.05 / tests
    assert found.mean() == pytest.approx(0.8, abs=0.015)
    assert interval.detectable(tests) > interval.half_width


def test_a_true_null_is_rejected_about_one_time_in_twenty():
    draws = np.random.default_rng(0).normal(size=(2000, 2, 3))
    found = [paired_difference(seeds(a), seeds(b)).excludes_zero for a, b in draws]
    assert 0.035 < np.mean(found) < 0.065


def test_pareto_front():
    costs, scores = [1, 2, 2, 3, 3, NAN], [0.5, 0.7, 0.6, 0.7, NAN, 0.9]
    assert pareto_front(costs, scores, True) == [True, True, False, False, None, None]
    assert pareto_front(costs, scores, False) == [True, False, False, False, None, None]
    assert pareto_front([1, 1], [0.5, 0.5], True) == [True, True]
