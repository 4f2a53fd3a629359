"""As many seeds as it takes: what each look may claim, when it ends, and what that costs against a fixed number."""

import itertools
import math
import time

import numpy as np
import pytest
from scipy import stats

from neatlab import BadInput, compare, sweep
from neatlab.analysis.looks import LOOKS, Design, chance, looks_until, spent
from neatlab.analysis.statistics import holm, mean_interval
from neatlab.analysis.verdicts import Pair, judge
from neatlab.cli import main
from neatlab.experiments.sequential import SeedRequest, seconds_of
from neatlab.runs.store import Store

DESIGN = Design(LOOKS)
SMALL = "teacher:d_in=24,d_out=12,samples=60"
ARMS = ["lora:rank=2", "neat:rank=2"]


class TestLooks:
    def test_they_end_at_the_most_seeds(self):
        assert looks_until(20) == LOOKS and looks_until(7) == (3, 4, 5, 6, 7) and looks_until(2) == (2,)
        with pytest.raises(BadInput, match="max_seeds=1; a spread takes at least 2 seeds"):
            looks_until(1)

    @pytest.mark.parametrize("level", [0.05, 0.05 / 6])
    @pytest.mark.parametrize("sides", [1, 2])
    def test_all_together_claim_a_difference_of_nothing_as_often_as_the_level_says(self, level, sides):
        draws, runs = np.random.default_rng(7).normal(size=(40_000, LOOKS[-1])), 40_000
        crossed = np.zeros(runs, dtype=bool)
        for look in LOOKS:
            found = stats.ttest_1samp(draws[:, :look], 0, axis=1, alternative="two-sided" if sides == 2 else "greater")
            crossed |= found.pvalue <= (DESIGN.two_sided if sides == 2 else DESIGN.one_sided)(level, look)
        assert crossed.mean() <= level + 3 * math.sqrt(level / runs)
        assert crossed.mean() >= 0.9 * level

    def test_one_look_at_the_end_is_the_fixed_test(self):
        assert Design((12,)).two_sided(0.05, 12) == pytest.approx(0.05, rel=0.02)

    def test_little_is_spent_early(self):
        assert [round(spent(0.05, share), 5) for share in (0.1, 0.5, 1)] == [0.00005, 0.00625, 0.05]
        levels = [DESIGN.two_sided(0.05, look) for look in LOOKS]
        assert levels == sorted(levels) and levels[0] < 0.001 and 0.03 < levels[-1] < 0.05

    def test_holms_correction_holds_each_p_to_what_its_look_allows(self):
        p_values, seeds = [0.0004, 0.004, 0.03], [5, 10, 20]
        corrected = holm(p_values, lambda level, index: DESIGN.two_sided(level, seeds[index]))
        order = sorted(range(3), key=lambda i: p_values[i] / DESIGN.two_sided(0.05, seeds[i]))
        for done, index in enumerate(order):
            is_rejected = p_values[index] <= DESIGN.two_sided(0.05 / (3 - done), seeds[index])
            assert (corrected[index] <= 0.05) == is_rejected
            if not is_rejected:
                break

    def test_a_chance_is_what_a_simulation_of_the_rest_finds(self):
        seen = np.array([0.004, 0.012, -0.002, 0.009, 0.001])
        rng, spread = np.random.default_rng(0), seen.std(ddof=1)
        unknown_mean = seen.mean() + spread / math.sqrt(5) * rng.standard_t(4, size=20_000)
        rest = unknown_mean[:, None] + spread * rng.normal(size=(20_000, 15))
        found = np.mean([_decided(np.concatenate([seen, more]), 0.01) for more in rest])
        assert chance(mean_interval(seen), 0.01, 20) == pytest.approx(found, abs=0.12)
        assert (
            chance(mean_interval([0.0, 0.3, -0.3]), 0.001, 20)
            < 0.5
            < chance(mean_interval([0.1, 0.11, 0.12]), 0.01, 20)
        )


def _decided(values, margin):
    mean, error = values.mean(), values.std(ddof=1) / math.sqrt(len(values))
    low, high = mean - stats.t.isf(0.05, len(values) - 1) * error, mean + stats.t.isf(0.05, len(values) - 1) * error
    return max(-low, high) < margin or abs(mean) / error > stats.t.isf(0.025, len(values) - 1)


class FakeComparison:
    """What `SeedRequest` asks of a comparison, on given differences."""

    def __init__(self, values, design):
        pair = Pair("a", "b", mean_interval(values))
        self.judged = [type("Judged", (), {"difference": judge([pair], 0.01, True, design)[0]})()]


def asked(values, budget=None, seconds=0.0, max_seeds=20, spent=0):
    """Looks at `values` seed by seed, `spent` seconds after it began; how many were asked for, and what was said."""
    request, looks, counts = SeedRequest("auto", max_seeds, budget), [], []

    def compared(seeds):
        counts.append(len(seeds))
        return FakeComparison(values[: len(seeds)], request.design)

    request.answer(compared, time.monotonic() - spent, lambda: seconds, looks.append)
    return counts, [str(look) for look in looks]


class TestEnd:
    def test_at_a_clear_difference(self):
        counts, said = asked([0.3, 0.301, 0.299, 0.3002] * 5)
        assert counts[-1] <= 4 and said[-1].endswith("every comparison is decided: it ends here")

    def test_at_the_most_seeds(self):
        values = list(np.random.default_rng(1).normal(0.004, 0.01, 8))
        counts, said = asked(values, max_seeds=8)
        assert counts == [3, 4, 5, 6, 8] and "these were the most seeds allowed" in said[-1]
        assert "a against b undecided (about " in said[0] and "next look after 4" in said[0]

    def test_where_more_would_hardly_change_it(self):
        counts, said = asked([0.4, -0.5, 0.1, 0.2, -0.3, 0.45, -0.4, 0.05] * 3)
        assert counts[-1] < 20 and "the seeds left would hardly change that: it ends here" in said[-1]

    def test_before_the_budget_is_exceeded(self):
        values = list(np.random.default_rng(1).normal(0.004, 0.01, 20))
        counts, said = asked(values, budget="1h", seconds=700.0, spent=3000)
        assert counts == [3] and said[0].endswith("the next look would exceed the budget: it ends here")
        assert "next look after 4, in about 700 s" in asked(values, budget="2h", seconds=700.0, spent=3000)[1][0]

    def test_a_budget_that_allows_no_look_is_refused(self):
        with pytest.raises(BadInput, match="the first look, after 3 seeds, takes about 300 s; give more than that"):
            asked([0.1] * 20, budget="4m", seconds=100.0)


class TestRequests:
    @pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("20m", 1200), ("1.5h", 5400)])
    def test_times(self, text, seconds):
        assert seconds_of(text) == seconds

    @pytest.mark.parametrize("text", ["", "soon", "-3m", "0", "3d", "nan"])
    def test_no_times(self, text):
        with pytest.raises(BadInput, match=r"give a time such as 90s, 20m or 1\.5h"):
            seconds_of(text)

    @pytest.mark.parametrize(
        ("settings", "said"),
        [
            ({"seeds": "some"}, "give a number of seeds, or 'auto'"),
            ({"seeds": 3, "budget": "5m"}, "budget is for seeds='auto'"),
            ({"seeds": "auto", "max_seeds": 1}, "at least 2 seeds"),
            ({"seeds": "auto", "margin": -1}, "margin=-1; give the largest difference"),
            ({"over": "example"}, "did you mean 'examples'"),
        ],
    )
    def test_what_makes_no_sense_is_refused_before_anything_trains(self, settings, said, runs):
        with pytest.raises(BadInput, match=said):
            compare(SMALL, ARMS, steps=3, runs=runs, **settings)
        with pytest.raises(BadInput, match=said):
            sweep(SMALL, ARMS, training={"steps": 3}, runs=runs, **settings)
        assert not runs.exists()

    def test_pruning_is_another_way_to_stop(self, runs):
        with pytest.raises(BadInput, match="--prune with --seeds auto"):
            sweep(SMALL, ARMS, prune=True, seeds="auto", training={"steps": 3}, runs=runs)


def test_compare_ends_as_soon_as_it_is_decided_and_goes_on_where_it_was(runs):
    looks = []
    found = compare(SMALL, ARMS, seeds="auto", max_seeds=6, steps=40, runs=runs, on_look=looks.append)
    assert [look.seeds for look in looks] == [3, 4, 5, 6][: len(looks)]
    assert looks[-1].next is None and len(found.runs) == 2 * looks[-1].seeds == len(Store(runs).runs())
    (difference,) = found.differences()
    assert difference.verdict != "undecided" or looks[-1].seeds == 6 or "hardly" in looks[-1].reason
    assert "shared out over the looks" in found.assumptions()
    before = {run.path.stat().st_mtime_ns for run in Store(runs).runs()}
    again = compare(SMALL, ARMS, seeds="auto", max_seeds=6, steps=40, runs=runs)
    assert again.verdict() == found.verdict()
    assert {run.path.stat().st_mtime_ns for run in Store(runs).runs()} == before


@pytest.mark.cluster
def test_in_a_sweep_an_arm_that_is_far_behind_gets_no_more_seeds(runs):
    grid = {"lr": [1e-7, 0.01, 0.012]}
    found = sweep(SMALL, ["lora:rank=2"], grid, seeds="auto", max_seeds=6, training={"steps": 60}, runs=runs, workers=1)
    seeds = {arm.arm: len(arm.runs) for arm in found.arms()}
    assert seeds["lora:rank=2,lr=1e-07"] < max(seeds.values())


def test_on_the_command_line(runs, capsys):
    words = ["compare", "--task", SMALL, "--arm", ARMS[0], "--arm", ARMS[1], "--steps", "20", "--runs", str(runs)]
    assert main([*words, "--seeds", "auto", "--max-seeds", "3", "--budget", "10m", "--margin", "0.5"]) == 0
    said = capsys.readouterr()
    assert "neatlab: after 3 seeds: " in said.err and "below 0.5 counts as none" in said.out
    assert main([*words, "--seeds", "auto", "--budget", "soon"]) == 2
    assert "give a time such as 90s, 20m or 1.5h" in capsys.readouterr().err


def test_it_says_what_twenty_seeds_would_with_far_fewer_runs():
    """Over true differences and margins of 0 to 4 spreads: the docs give the whole table."""
    rng, same, used = np.random.default_rng(3), [], []
    for mean, margin in itertools.product([0.0, 1.0, 4.0], [0.5, 2.0]):
        for values in rng.normal(mean, 1, size=(60, 20)):
            kind, count = _sequential(values, margin)
            same.append(kind == judge([Pair("a", "b", mean_interval(values))], margin, True)[0].kind)
            used.append(count / 20)
    assert np.mean(same) > 0.85 and np.mean(used) < 0.6


def _sequential(values, margin):
    for look in LOOKS:
        interval = mean_interval(values[:look])
        kind = judge([Pair("a", "b", interval)], margin, True, DESIGN)[0].kind
        if kind != "undecided" or chance(interval, margin, 20, DESIGN.one_sided(0.05, 20)) < 0.05:
            return kind, look
    return kind, 20
