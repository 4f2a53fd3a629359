"""Better, as good, not worse or undecided: against scipy's tests, published tables and simulations; and in words."""

import math
import re

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import stats

from neatlab.analysis.crossed import crossed_difference, crossed_interval, pseudo_values
from neatlab.analysis.sentences import assumptions, headline, sentence
from neatlab.analysis.statistics import Interval, mean_interval
from neatlab.analysis.verdicts import Pair, equivalence, judge, seed_pairs
from neatlab.errors import BadInput
from neatlab.tasks.metrics import METRICS

NAN = float("nan")
DATA = [0.81, 0.84, 0.79, 0.86, 0.80]
OTHER = [0.78, 0.85, 0.75, 0.80, 0.79]


def seeds(values):
    return dict(enumerate(values))


def judged(*differences, margin=0.01, higher=True, cheaper=None):
    """One comparison, or several, each of an arm with the next."""
    pairs = [Pair(f"a{i}", "b", mean_interval(d), cheaper) for i, d in enumerate(differences)]
    found = judge(pairs, margin, higher)
    return found[0] if len(found) == 1 else found


class TestTests:
    @pytest.mark.parametrize("values", [[0.01, 0.02, 0.0], [-0.004, 0.003, 0.001, 0.002], DATA])
    def test_equivalence_is_two_of_scipys_one_sided_tests(self, values):
        above = stats.ttest_1samp(values, -0.015, alternative="greater").pvalue
        below = stats.ttest_1samp(values, 0.015, alternative="less").pvalue
        assert equivalence(mean_interval(values), 0.015) == pytest.approx(max(above, below))

    @given(st.lists(st.floats(-0.05, 0.05), min_size=3, max_size=8), st.floats(0.001, 0.05))
    def test_as_good_is_the_90_percent_interval_within_the_margin(self, values, margin):
        one = judged(values, margin=margin)
        if math.isnan(one.interval.half_width) or one.interval.half_width < 1e-9:
            return
        low, high = one.interval.within(0.1)
        assert (one.p_equivalence < 0.05) == (max(-low, high) < margin)

    def test_all_three_families_are_corrected_together(self):
        rows = [[0.001, 0.0, 0.002, 0.001], [0.02, 0.03, 0.025, 0.028], [0.0, 0.008, -0.003, 0.004]]
        found = judged(*rows, cheaper="b")
        for name, raw in (
            ("p_holm", [stats.ttest_1samp(row, 0).pvalue for row in rows]),
            ("p_equivalence_holm", [equivalence(mean_interval(row), 0.01) for row in rows]),
            ("p_not_worse_holm", [stats.ttest_1samp(row, 0.01, alternative="less").pvalue for row in rows]),
        ):
            order = sorted(range(3), key=lambda i: raw[i])
            expected = np.maximum.accumulate([min(1, (3 - rank) * raw[i]) for rank, i in enumerate(order)])
            assert [getattr(found[i], name) for i in order] == pytest.approx(list(expected))
        assert [one.tests for one in found] == [3, 3, 3]

    def test_comparisons_without_shared_seeds_do_not_count(self):
        scores = {"a": seeds(DATA), "b": seeds(OTHER), "d": {}}
        found = judge(seed_pairs(scores, [("a", "b"), ("d", "b")]), 0.01, True)
        assert found[0].p_holm == pytest.approx(stats.ttest_rel(DATA, OTHER).pvalue)
        assert math.isnan(found[1].p_holm) and {one.tests for one in found} == {1}


class TestKinds:
    @pytest.mark.parametrize(
        ("values", "kind", "winner"),
        [
            ([0.05, 0.06, 0.055], "better", "a0"),
            ([-0.05, -0.06, -0.055], "better", "b"),
            ([0.001, -0.001, 0.0005], "as-good", None),
            ([-0.002, -0.03, -0.012], "not-worse", "b"),
            ([0.05, -0.06, 0.02], "undecided", None),
            ([0.05], "undecided", None),
            ([0.01, 0.01, 0.01], "undecided", None),
            ([], "undecided", None),
        ],
    )
    def test_the_strongest_that_may_be_said(self, values, kind, winner):
        one = judged(values, cheaper="b")
        assert (one.kind, one.winner) == (kind, winner)
        assert (one.more_seeds == 0) == (kind != "undecided")

    def test_a_lower_error_is_better(self):
        assert judged([0.05, 0.06, 0.055], higher=False).winner == "b"
        assert judged([-0.002, -0.03, -0.012], higher=False, cheaper="a0").winner == "a0"

    def test_without_a_cheaper_arm_nothing_is_not_worse(self):
        one = judged([-0.002, -0.03, -0.012])
        assert one.kind == "undecided" and math.isnan(one.p_not_worse_holm)

    @pytest.mark.parametrize("margin", [-0.1, NAN, math.inf])
    def test_a_margin_that_bounds_nothing_is_refused(self, margin):
        with pytest.raises(BadInput, match=r"margin=.*a number from 0"):
            judged([0.1, 0.2], margin=margin)

    @example([0.001953125, 0.001953125, 0.0014953909481823092], False, "a0")  # shown, and within the margin
    @given(st.lists(st.floats(-1, 1), min_size=0, max_size=6), st.booleans(), st.sampled_from(["a0", "b", None]))
    def test_every_difference_has_a_sentence_and_better_is_said_only_of_what_is_shown(self, values, higher, cheaper):
        one = judged(values, higher=higher, cheaper=cheaper)
        said = sentence(one, "accuracy")
        assert ("is better than" in said) == one.shown
        assert (one.kind == "better") == (one.shown and "hardly matters" not in said)
        assert said.endswith(".") and "nan" not in said


@pytest.mark.parametrize(("mean", "margin"), [(0.02, 0.001), (0.002, 0.01)])
def test_that_many_more_seeds_decide_four_times_in_five(mean, margin):
    """Either way: that a difference is shown, and that the arms are as good."""
    spread, count = 0.02, 4
    shape = np.array([-1, -1, 1, 1]) * spread * math.sqrt(3) / 2  # deviations whose sample spread is `spread`
    more = judged(list(mean + shape), margin=margin).more_seeds
    draws = np.random.default_rng(0).normal(mean, spread, size=(2000, count + more))
    decided = np.mean([judged(list(d), margin=margin).kind in ("better", "as-good") for d in draws])
    assert 0.77 <= decided <= 0.92  # of arms that are as good some are shown to differ as well


def test_what_no_number_of_seeds_decides_is_said_and_why():
    fixed = Interval(0.0, -0.1, 0.1, 5, 400.0, (0.1 / 1.966) ** 2 * 0.98)
    (few,) = judge([Pair("a", "b", fixed)], 0.01, True)
    assert few.more_seeds is None and "the test examples are too few" in sentence(few, "accuracy", "examples")
    (wide,) = judge([Pair("a", "b", mean_interval([0.5, -0.5, 0.1]))], 0.01, True)
    assert wide.more_seeds is None and "more than a thousand seeds would not decide" in sentence(wide, "accuracy")


class TestCrossed:
    def test_one_seed_is_the_interval_of_paired_proportions(self):
        """Agresti, Categorical Data Analysis, table 10.1: of 1,600 voters asked twice; 0.04, standard error 0.0095."""
        cells = {(1, 1): 794, (1, 0): 150, (0, 1): 86, (0, 0): 570}
        a, b = (np.repeat([pair[i] for pair in cells], list(cells.values())).astype(float) for i in (0, 1))
        found = crossed_difference({0: a}, {0: b})
        assert found.mean == pytest.approx(0.04)
        assert found.standard_error == pytest.approx(0.0095, abs=1e-4)
        assert (found.low, found.high) == pytest.approx((0.021, 0.059), abs=5e-4)

    def test_without_differences_between_examples_it_is_the_interval_over_seeds(self):
        by_seed = np.array([0.1, 0.3, 0.25, 0.2])
        found, plain = crossed_interval(np.repeat(by_seed[:, None], 50, axis=1)), mean_interval(by_seed)
        assert (found.low, found.high) == pytest.approx((plain.low, plain.high))

    @pytest.mark.parametrize("n", [3, 5, 10])
    @pytest.mark.parametrize("sizes", [(0.02, 0.3, 0.3), (0.02, 0.0, 0.3), (0.0, 0.3, 0.3), (0.05, 0.1, 0.5)])
    def test_it_covers_the_truth_for_new_seeds_and_examples(self, n, sizes):
        rng, m, covered, variances, means = np.random.default_rng(n), 200, 0, [], []
        seed, example, rest = sizes
        for _ in range(1500):
            d = rng.normal(0, seed, (n, 1)) + rng.normal(0, example, (1, m)) + rng.normal(0, rest, (n, m))
            found = crossed_interval(d)
            covered += found.low <= 0 <= found.high
            variances.append(found.standard_error**2)
            means.append(found.mean)
        assert covered / 1500 >= 0.94
        true = seed**2 / n + example**2 / m + rest**2 / (n * m)
        assert np.var(means) == pytest.approx(true, rel=0.15)
        if n == 10:
            assert true * 0.93 <= np.mean(variances) <= true * 1.35  # a negative component counts as 0: too wide then

    def test_it_claims_no_more_than_the_seeds_alone_at_any_level(self):
        rng = np.random.default_rng(2)
        for _ in range(50):
            d = rng.normal(0.02, 0.01, (3, 1)) + rng.normal(0, 0.2, (3, 120))
            found, plain = crossed_interval(d), mean_interval(d.mean(axis=1))
            assert found.p_value >= plain.p_value - 1e-12
            for level in (0.05, 0.01, 0.001):
                (low, high), (inner_low, inner_high) = found.within(level), plain.within(level)
                assert low <= inner_low + 1e-12 and high >= inner_high - 1e-12

    def test_the_part_that_more_seeds_do_not_lower_is_the_examples(self):
        rng = np.random.default_rng(0)
        d = rng.normal(0, 0.5, (1, 4000)) + rng.normal(0, 0.1, (8, 4000))
        assert crossed_interval(d).fixed == pytest.approx(0.5**2 / 4000, rel=0.1)

    @pytest.mark.parametrize("name", ["accuracy", "f1", "macro-f1", "matthews", "pearson", "spearman"])
    def test_the_jackknife_gives_back_the_score_and_its_standard_error(self, name):
        rng, compute = np.random.default_rng(1), METRICS[name].compute
        if name in ("pearson", "spearman"):
            true = rng.normal(size=150)
            predicted = true + rng.normal(size=150)
        else:
            true = rng.integers(0, 2, 150).astype(float)
            predicted = np.where(rng.random(150) < 0.8, true, 1 - true)
        values = pseudo_values(compute, true, predicted)
        assert values.mean() == pytest.approx(compute(true, predicted), abs=0.01)
        if name == "accuracy":
            assert np.allclose(values, true == predicted)
        rows = rng.integers(0, 150, (300, 150))
        bootstrap = np.std([compute(true[row], predicted[row]) for row in rows])
        assert values.std(ddof=1) / math.sqrt(150) == pytest.approx(bootstrap, rel=0.2)


class TestWords:
    def test_they_respect_direction(self):
        assert sentence(judged([0.1, 0.11, 0.09]), "accuracy").startswith(
            "a0 is better than b in accuracy (a0 − b: +0.1"
        )
        assert sentence(judged([0.1, 0.11, 0.09], higher=False), "error").startswith("b is better than a0 in error")

    def test_nothing_is_called_better_that_the_correction_takes_back(self):
        first, *_ = judged([0.1, 0.13, 0.07], [0.3, -0.2, 0.0], [0.1, -0.2, 0.05])
        assert first.interval.excludes_zero and not first.shown
        assert "corrected for 3 comparisons p = " in sentence(first, "accuracy")
        assert judged([0.1, 0.13, 0.07]).shown

    def test_a_difference_within_the_margin_is_said_not_to_matter(self):
        one = judged([0.002, 0.003, 0.0025])
        said = sentence(one, "accuracy")
        assert one.shown and one.kind == "as-good"
        assert re.search(r"as good as each other .* That a0 is better than b .*, hardly matters\.$", said)

    def test_each_kind_says_what_it_holds_for(self):
        said = sentence(judged([0.001, -0.001, 0.0005]), "accuracy", "examples")
        assert re.search(
            r"as good as each other .* less than 0\.01 .* 90 % interval .* on new examples and new seeds", said
        )
        said = sentence(judged([-0.002, -0.03, -0.012], cheaper="b"), "accuracy")
        assert said.startswith("b has fewer parameters and is not worse than a0 in accuracy by 0.01 or more")
        said = sentence(judged([0.05, -0.06, 0.02]), "accuracy")
        assert said.startswith("No difference shown between a0 and b in accuracy, nor that they are as good")
        assert "too few" in sentence(judged([0.1]), "accuracy")
        assert "no spread to judge it by" in sentence(judged([0.1, 0.1]), "accuracy")

    def test_the_first_line_is_for_someone_who_reads_no_further(self):
        wins = judged([0.1, 0.11, 0.09], [0.2, 0.21, 0.22], higher=False)
        assert headline(wins, "error") == "b is better in error than every other arm here."
        mixed = judged([0.1, 0.11, 0.09], [0.001, -0.001, 0.0005], [0.05, -0.06, 0.02])
        assert headline(mixed, "accuracy").endswith(
            "Of 3 comparisons: 1 show a difference, 1 show arms as good as each other, 1 undecided."
        )
        assert headline(mixed[:1], "accuracy") == headline([], "accuracy") == ""

    def test_what_was_assumed_comes_last(self):
        said = assumptions(judged([0.1, 0.11, 0.09], [0.2, 0.21, 0.22]), ["examples", "seeds"])
        assert "on new examples and new seeds or on new seeds and these test examples" in said
        assert "A difference below 0.01 counts as none" in said and "2 comparisons by Holm's method" in said
        assert assumptions([], []) == ""


def claims(rng, arms, count, steps=None):
    """Whether anything is claimed among arms that are the same, scored on `count` seeds (in `steps` if given)."""
    common = rng.normal(0.8, 0.02, size=count)
    scores = {}
    for arm in range(arms):
        values = common + rng.normal(0, 0.01, size=count)
        scores[str(arm)] = seeds(values if steps is None else np.round(values * steps) / steps)
    pairs = seed_pairs(scores, [(str(arm), "0") for arm in range(1, arms)])
    return any(one.shown for one in judge(pairs, 0.01, True))


@pytest.mark.parametrize(("arms", "count", "steps"), [(2, 3, None), (2, 2, 360), (2, 5, 360), (9, 5, None)])
def test_the_same_arm_twice_is_called_different_about_one_time_in_twenty(arms, count, steps):
    rng = np.random.default_rng(1)
    found = [claims(rng, arms, count, steps) for _ in range(200)]
    assert sum(found) <= stats.binom.ppf(0.99, 200, 0.05)
    if steps is None and arms == 2:
        assert sum(found) >= stats.binom.ppf(0.01, 200, 0.05)
