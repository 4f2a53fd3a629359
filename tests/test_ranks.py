"""Ranks over tasks: Demšar's published example, scipy, sums by hand, and what holds of any scores."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import stats

from neatlab.analysis import ranks
from neatlab.analysis.ranks import critical_difference, friedman, ranking, signed_rank_p, smallest_p, task_ranks

# Demšar (2006), table 6: ranks of C4.5, C4.5+m, C4.5+cf and C4.5+m+cf on fourteen data sets.
PUBLISHED = [
    *([4, 3, 2, 1], [1, 2, 3, 4], [4, 1, 2, 3], [4, 1, 3, 2], [4, 2, 3, 1], [1, 2.5, 4, 2.5], [3, 2, 4, 1]),
    *([2.5, 2.5, 4, 1], [4, 3, 2, 1], [2.5] * 4, [4, 2.5, 1, 2.5], [3, 2, 4, 1], [4, 1, 2, 3], [3, 1, 4, 2]),
]
ARMS = ("C4.5", "C4.5+m", "C4.5+cf", "C4.5+m+cf")
SCORES = {f"set {i}": dict(zip(ARMS, [-rank for rank in row], strict=True)) for i, row in enumerate(PUBLISHED)}
TABLES = st.integers(2, 12).flatmap(
    lambda tasks: st.integers(3, 6).flatmap(
        lambda arms: st.lists(st.lists(st.integers(0, 5), min_size=arms, max_size=arms), min_size=tasks, max_size=tasks)
    )
)


class TestPublished:
    def test_mean_ranks_and_critical_difference(self):
        found = ranking(SCORES, ARMS)
        assert found.mean_ranks == pytest.approx((3.143, 2.000, 2.893, 1.964), abs=5e-4)
        assert found.critical_difference == pytest.approx(1.25, abs=0.005)
        assert found.shows  # 3.69 is above the critical value 2.85 of F(3, 39)
        assert found.alike == (("C4.5+m+cf", "C4.5+m", "C4.5+cf", "C4.5"),)  # "not powerful enough to detect any"
        assert found.sentences() == [
            f"4 arms on 14 tasks: Friedman's test shows that they differ (F(3, 39) = {found.friedman.f:.2f}, "
            f"p = {found.friedman.p:.2g}).",
            "Nemenyi's critical difference of mean ranks is 1.25: no two arms are that far apart.",
        ]

    def test_chi2_and_f_without_the_correction_for_ties_that_the_paper_leaves_out(self):
        chi2, _, _ = friedman(np.array(PUBLISHED))
        ties = sum(6 if count == 2 else 60 for count in (2, 2, 4, 2))  # t³ − t of each group of equal scores
        plain = chi2 * (1 - ties / (14 * 4 * 15))
        assert plain == pytest.approx(9.28, abs=0.005)
        assert 13 * plain / (14 * 3 - plain) == pytest.approx(3.69, abs=0.005)

    def test_two_groups_at_ten_per_cent(self):
        means, apart = ranking(SCORES, ARMS).mean_ranks, critical_difference(4, 14, 0.10)
        assert apart == pytest.approx(1.12, abs=0.005)
        assert ranks.alike(ARMS, means, apart) == (("C4.5+m+cf", "C4.5+m", "C4.5+cf"), ("C4.5+cf", "C4.5"))

    @pytest.mark.parametrize(("arms", "q"), [(2, 1.960), (3, 2.343), (4, 2.569), (6, 2.850), (10, 3.164)])
    def test_critical_values_of_table_5(self, arms, q):
        assert critical_difference(arms, 14) == pytest.approx(q * math.sqrt(arms * (arms + 1) / (6 * 14)), rel=1e-3)


class TestFriedman:
    @example([[0] * 6] * 11)
    @given(TABLES)
    def test_chi2_is_scipys(self, scores):
        found = friedman(task_ranks(scores, len(scores[0])))
        with np.errstate(all="ignore"):
            expected = stats.friedmanchisquare(*np.array(scores, dtype=float).T).statistic
        # Where all scores of every task are tied SciPy divides by 0, of which its rounding makes NaN or ∞.
        assert found.chi2 == pytest.approx(expected if math.isfinite(expected) else 0.0, abs=1e-9)
        assert 0 <= found.p <= 1

    @given(TABLES, st.randoms())
    def test_the_order_of_tasks_and_arms_changes_nothing(self, scores, random):
        table = np.array(scores)
        rows, columns = list(range(len(table))), list(range(table.shape[1]))
        random.shuffle(rows)
        random.shuffle(columns)
        before, after = (friedman(task_ranks(one.tolist(), len(columns))) for one in (table, table[rows][:, columns]))
        assert (after.chi2, after.p) == pytest.approx((before.chi2, before.p), abs=0.02)

    def test_two_tasks_that_agree_show_little(self):
        found = friedman(task_ranks([[3, 2, 1]] * 2, 3))
        assert math.isinf(found.f) and found.p == pytest.approx(1 / 6, abs=0.01)

    def test_permutations_give_the_exact_p(self):
        scores = task_ranks([[5, 4, 1], [3, 2, 1], [1, 2, 3], [9, 7, 8]], 3)
        seen = (scores.sum(0) ** 2).sum()
        orders = itertools.product(itertools.permutations((1.0, 2.0, 3.0)), repeat=4)
        exact = np.mean([(np.sum(order, axis=0) ** 2).sum() >= seen for order in orders])
        assert friedman(scores).p == pytest.approx(exact, abs=0.015)


class TestRanking:
    @given(TABLES)
    def test_ranks_add_up_and_arms_that_are_not_alike_are_apart(self, scores):
        arms = [f"arm {i}" for i in range(len(scores[0]))]
        by_task = {f"task {i}": dict(zip(arms, row, strict=True)) for i, row in enumerate(scores)}
        found = ranking(by_task, arms)
        assert sum(found.mean_ranks) == pytest.approx(len(arms) * (len(arms) + 1) / 2)
        means = dict(zip(arms, found.mean_ranks, strict=True))
        for a, b in itertools.combinations(arms, 2):
            together = any({a, b} <= set(group) for group in found.alike)
            assert together == (abs(means[a] - means[b]) < found.critical_difference)
        assert not any(set(a) <= set(b) for a, b in itertools.permutations(found.alike, 2))

    def test_an_arm_that_a_task_cannot_have_is_not_ranked_and_a_task_without_a_score_does_not_count(self):
        scores = {"a": {"x": 1.0, "y": 2.0, "head": 0.5}, "b": {"x": 1.0, "y": math.nan}, "c": {"x": 1.0, "y": 3.0}}
        found = ranks.counted(scores, ["x", "y", "head"])
        assert found == (("x", "y"), ("a", "c"), {"head": ["b", "c"]}, {"b": ["y"]})
        order = ranking(scores, ["x", "y", "head"])
        assert (order.tasks, order.mean_ranks) == (("a", "c"), (2.0, 1.0))

    @pytest.mark.parametrize("tasks", [0, 1])
    def test_too_few_tasks_are_said(self, tasks):
        scores = {f"{i}": {"a": 1.0, "b": 2.0, "c": 3.0} for i in range(tasks)}
        (said,) = ranking(scores, ["a", "b", "c"]).sentences()
        assert (
            said == f"{tasks} task(s) with all of 3 arms: too few for Friedman's test, which needs 2 tasks and 3 arms."
        )

    def test_too_few_tasks_for_pairs_are_said(self):
        scores = {f"{i}": {"a": 1.0, "b": 2.0, "c": 3.0} for i in range(2)}
        assert ranking(scores, ["a", "b", "c"]).sentences()[1] == (
            "2 tasks are too few to tell two arms apart by their ranks: "
            "these would have to differ by 2.34, and can by 2."
        )

    def test_who_is_ranked_better_than_whom(self):
        scores = {f"{i}": {"a": 1.0, "b": 3.0, "c": 2.0} for i in range(20)}
        assert ranking(scores, ["a", "b", "c"]).sentences()[1] == (
            "Nemenyi's critical difference of mean ranks is 0.74: "
            "b is ranked better than c, a. c is ranked better than a."
        )


class TestSignedRanks:
    @given(st.lists(st.integers(-1000, 1000), min_size=1, max_size=25, unique_by=abs).filter(lambda d: 0 not in d))
    def test_without_ties_it_is_scipys_exact_test(self, differences):
        expected = stats.wilcoxon(differences, method="exact").pvalue
        assert signed_rank_p(differences) == pytest.approx(expected)

    @given(st.lists(st.integers(-3, 3), min_size=1, max_size=9))
    def test_with_ties_it_counts_every_sign(self, differences):
        known = np.array([d for d in differences if d])
        if not len(known):
            assert math.isnan(signed_rank_p(differences))
            return
        size = stats.rankdata(abs(known))
        sums = np.array([size[list(signs)].sum() for signs in itertools.product((False, True), repeat=len(known))])
        tail = min((sums <= size[known > 0].sum()).mean(), (sums >= size[known > 0].sum()).mean())
        assert signed_rank_p(differences) == pytest.approx(min(1.0, 2 * tail))

    @given(st.lists(st.floats(-5, 5), min_size=1, max_size=12))
    def test_either_direction_gives_the_same_p(self, differences):
        both = [signed_rank_p(differences), signed_rank_p([-d for d in differences])]
        assert both[0] == pytest.approx(both[1], nan_ok=True)

    def test_its_smallest_p(self):
        for tasks in range(1, 12):
            assert signed_rank_p(range(1, tasks + 1)) == smallest_p(tasks) == 2 ** (1 - tasks)
        assert math.isnan(smallest_p(0)) and math.isnan(signed_rank_p([0.0, math.nan]))
