"""Intervals, tests and corrections against scipy and published values on known data, and what is said from them."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from neatlab.analysis.statistics import (
    Difference,
    compare_pairs,
    holm,
    mean_interval,
    paired_difference,
    pareto_front,
    sentence,
)

NAN = float("nan")
DATA = [0.81, 0.84, 0.79, 0.86, 0.80]
OTHER = [0.78, 0.85, 0.75, 0.80, 0.79]


def seeds(values):
    return dict(enumerate(values))


def difference(values, p_holm=None, tests=1):
    interval = mean_interval(values)
    return Difference("a", "b", interval, interval.p_value if p_holm is None else p_holm, tests)


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
    said = sentence(Difference("a", "b", found, 1.0, 1), "accuracy", True)
    assert "better" not in said
    assert "no spread to judge it by" in said


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


def test_sentences_respect_direction():
    shown = difference([0.1, 0.11, 0.09])
    assert sentence(shown, "accuracy", True).startswith("a is better than b in accuracy (a − b: +0.1000,")
    assert sentence(shown, "error", False).startswith("b is better than a in error")


def test_nothing_is_called_better_that_the_correction_takes_back():
    values = [0.1, 0.13, 0.07]
    assert difference(values).shown
    said = sentence(difference(values, p_holm=0.21, tests=8), "accuracy", True)
    assert said.startswith("No difference shown between a and b in accuracy")
    assert "corrected for 8 comparisons p = 0.21" in said


def test_what_could_not_have_been_seen_is_said():
    covering = difference([0.1, -0.1, 0.05])
    said = sentence(covering, "accuracy", True)
    assert said.startswith("No difference shown between a and b")
    assert f"{covering.interval.detectable():.4f} could not have been seen (80 % power)" in said
    assert "too few" in sentence(difference([0.1]), "accuracy", True)


@given(
    st.lists(st.floats(-1, 1), min_size=0, max_size=6),
    st.floats(0, 1),
    st.booleans(),
)
def test_better_is_said_only_of_what_is_shown(values, p, higher):
    one = difference(values, p_holm=p)
    said = sentence(one, "accuracy", higher)
    assert ("better" in said) == (one.interval.count > 1 and one.interval.excludes_zero and p <= 0.05)


def test_comparisons_are_corrected_together():
    scores = {"a": seeds(DATA), "b": seeds(OTHER), "c": seeds([v + 0.1 for v in reversed(DATA)]), "d": {}}
    found = compare_pairs(scores, [("a", "b"), ("c", "b"), ("d", "b")])
    raw = [stats.ttest_rel(list(scores[name].values()), OTHER).pvalue for name in ("a", "c")]
    assert [one.p_holm for one in found[:2]] == pytest.approx([max(raw), 2 * min(raw)])
    assert math.isnan(found[2].p_holm)
    assert {one.tests for one in found} == {2}


def claims(rng, arms, count, steps=None):
    """Whether anything is claimed among arms that are the same, scored on `count` seeds (in `steps` if given)."""
    common = rng.normal(0.8, 0.02, size=count)
    scores = {}
    for arm in range(arms):
        values = common + rng.normal(0, 0.01, size=count)
        scores[str(arm)] = seeds(values if steps is None else np.round(values * steps) / steps)
    return any(one.shown for one in compare_pairs(scores, [(str(arm), "0") for arm in range(1, arms)]))


@pytest.mark.parametrize(("arms", "count", "steps"), [(2, 3, None), (2, 2, 360), (2, 5, 360), (9, 5, None)])
def test_the_same_arm_twice_is_called_different_about_one_time_in_twenty(arms, count, steps):
    rng = np.random.default_rng(1)
    found = [claims(rng, arms, count, steps) for _ in range(200)]
    assert sum(found) <= stats.binom.ppf(0.99, 200, 0.05)
    if steps is None and arms == 2:
        assert sum(found) >= stats.binom.ppf(0.01, 200, 0.05)


def test_a_true_null_is_rejected_about_one_time_in_twenty():
    draws = np.random.default_rng(0).normal(size=(2000, 2, 3))
    found = [paired_difference(seeds(a), seeds(b)).excludes_zero for a, b in draws]
    assert 0.035 < np.mean(found) < 0.065


def test_pareto_front():
    costs, scores = [1, 2, 2, 3, 3, NAN], [0.5, 0.7, 0.6, 0.7, NAN, 0.9]
    assert pareto_front(costs, scores, True) == [True, True, False, False, None, None]
    assert pareto_front(costs, scores, False) == [True, False, False, False, None, None]
    assert pareto_front([1, 1], [0.5, 0.5], True) == [True, True]
