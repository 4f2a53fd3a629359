"""What a verdict holds for: new examples and new seeds where runs have kept their outcomes, else new seeds."""

import math
from dataclasses import replace

import numpy as np
import pytest

from neatlab.analysis.crossed import crossed_interval
from neatlab.errors import BadInput
from neatlab.runs.comparison import Comparison
from neatlab.runs.outcomes import write_outcomes
from neatlab.runs.run import Run
from neatlab.tasks.outcomes import Outcomes
from tests.test_results import ended

ARMS, SEEDS, EXAMPLES = ("lora:rank=4", "neat:rank=4,depth=2"), 4, 300


@pytest.fixture(autouse=True)
def ids(monkeypatch):
    monkeypatch.setattr(Run, "run_id", property(lambda run: run.config.run_id))


@pytest.fixture
def right():
    """Arm by seed by example: whether the answer is right."""
    rng = np.random.default_rng(0)
    hard = rng.random(EXAMPLES) < 0.2  # the same examples are hard for every arm and seed
    return (rng.random((2, SEEDS, EXAMPLES)) < np.where(hard, 0.3, 0.95)).astype(float)


@pytest.fixture
def runs(right, tmp_path):
    made = []
    for arm, rows in zip(ARMS, right, strict=True):
        for seed, row in enumerate(rows):
            run = replace(ended(arm, seed, float(row.mean())), path=tmp_path / f"{arm[:4]}-{seed}")
            run.path.mkdir()
            write_outcomes(run.path, Outcomes.answers(row))
            made.append(run)
    return made


def test_both_intervals_are_there_and_the_verdict_is_over_examples(runs, right):
    (found,) = Comparison(runs).differences()
    d = right[0] - right[1]
    expected = crossed_interval(d)
    assert found.over == "examples" and found.ci95 == found.ci95_examples
    assert found.ci95_examples == pytest.approx((expected.low, expected.high))
    assert found.mean == pytest.approx(d.mean())
    by_seed = d.mean(axis=1)
    half = 3.182 * by_seed.std(ddof=1) / math.sqrt(SEEDS)  # t of 3 degrees of freedom
    assert found.ci95_seeds == pytest.approx((d.mean() - half, d.mean() + half), rel=1e-3)
    assert "on new examples and new seeds" in found.sentence


def test_of_one_seed_nothing_is_claimed_however_clear_it_is_on_new_examples(tmp_path):
    made = []
    for arm, count in zip(ARMS, (295, 5), strict=True):
        run = replace(ended(arm, 0, count / EXAMPLES), path=tmp_path / arm[:4])
        run.path.mkdir()
        write_outcomes(run.path, Outcomes.answers((np.arange(EXAMPLES) < count).astype(float)))
        made.append(run)
    comparison = Comparison(made)
    (found,) = comparison.differences()
    assert found.ci95_examples[0] > 0.9 and found.verdict == "undecided" and found.winner is None
    assert "too few to say anything" in found.sentence and comparison.decision().startswith("No recommendation")


def test_over_seeds_gives_the_other_one(runs):
    (found,) = Comparison(runs, over="seeds").differences()
    assert found.over == "seeds" and found.ci95 == found.ci95_seeds != found.ci95_examples
    assert "on new seeds and these test examples" in found.sentence


def test_a_run_that_has_kept_nothing_leaves_the_seeds_and_that_is_said(runs):
    (runs[0].path / "outcomes.safetensors").unlink()
    comparison = Comparison(runs)
    (found,) = comparison.differences()
    assert found.over == "seeds" and all(map(math.isnan, found.ci95_examples))
    assert "Intervals hold on new seeds and these test examples." in comparison.assumptions()
    assert comparison.to_dict()["differences"][0]["ci95_examples"] == [None, None]


def test_arms_that_were_tested_on_different_examples_are_not_compared(runs):
    write_outcomes(runs[0].path, Outcomes.of(np.arange(EXAMPLES), np.arange(EXAMPLES)))
    with pytest.raises(BadInput, match="were tested on different examples, so their scores cannot be compared"):
        Comparison(runs).differences()
    write_outcomes(runs[0].path, Outcomes.answers(np.ones(EXAMPLES - 1)))
    with pytest.raises(BadInput, match="different examples"):
        Comparison(runs).differences()


@pytest.mark.parametrize(("settings", "said"), [({"margin": -1}, "margin=-1"), ({"over": "all"}, "unknown over 'all'")])
def test_what_nothing_can_be_judged_by_is_refused(runs, settings, said):
    with pytest.raises(BadInput, match=said):
        Comparison(runs, **settings)


def test_a_margin_of_ones_own_stands_in_every_answer(runs):
    comparison = Comparison(runs, margin=0.2)
    assert comparison.differences()[0].verdict == "as-good" and comparison.differences()[0].margin == 0.2
    assert "A difference below 0.2 counts as none" in comparison.assumptions()
