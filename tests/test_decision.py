"""Which arm to take: the rule by cases, what is said of it, and what is left of the base beside it."""

import itertools

import pytest
from scipy import stats

from neatlab.adapters.methods import METHODS
from neatlab.config import make_run, parse_arm
from neatlab.report.markup import breakable
from neatlab.report.text import arms, differences, ordered, verdict
from neatlab.runs.comparison import Comparison
from neatlab.runs.deciding import MAX_ARMS
from neatlab.runs.run import Run

LORA, NEAT, DEEP, DORA = "lora:rank=4", "neat:rank=4,depth=2", "neat:rank=4,depth=4", "dora:rank=4"
NOISE = (0.0, 0.003, -0.002, 0.001)


@pytest.fixture(autouse=True)
def ids(monkeypatch):
    monkeypatch.setattr(Run, "run_id", property(lambda run: run.config.run_id))


def arm(label, mean, params=100, seconds=0.1, base=None, seeds=4, size=1, lost=0, options=None):
    """An arm's runs; `size` is that of its spread over seeds, and `lost` says how many of them diverged."""
    runs = []
    for seed in range(seeds):
        config = make_run("digits" if options is None else "teacher", parse_arm(label), seed, options or {}, {})
        summary = {"status": "finished", "adapter_params": params, "seconds_per_step": seconds, "seconds": 1.0}
        summary |= {"metric": mean + size * NOISE[seed]}
        summary |= {} if base is None else {"base_metric_before": 0.95, "base_metric": base - size * NOISE[seed]}
        runs.append(Run(config.run_id, config, {}, summary | ({"status": "failed"} if seed < lost else {})))
    return runs


def compared(*arms, **judging):
    return Comparison([run for runs in arms for run in runs], over="seeds", **judging)


def taken(*arms, **judging):
    (decision,) = compared(*arms, **judging).decisions()
    assert compared(*arms, **judging).decision() == decision.sentence
    return decision


CASES = {
    "the better one, whatever it costs": (
        [arm(LORA, 0.8), arm(NEAT, 0.9, 200, size=2)],
        NEAT,
        f"Take {NEAT}: it is better than {LORA} in accuracy.",
    ),
    "of two as good the smaller one": (
        [arm(LORA, 0.8, 4096), arm(NEAT, 0.801, 2048, size=2)],
        NEAT,
        f"Take {NEAT}: it is as good as {LORA} in accuracy and has fewer parameters (2,048 against 4,096).",
    ),
    "the smaller one that is not worse": (
        [arm(LORA, 0.8, 4096, size=2), arm(NEAT, 0.808, 2048, size=6)],
        NEAT,
        f"Take {NEAT}: it is not worse than {LORA} in accuracy and has fewer parameters (2,048 against 4,096).",
    ),
    "of two as good and as large the faster one": (
        [arm(LORA, 0.8, seconds=0.2), arm(NEAT, 0.801, seconds=0.1, size=2)],
        NEAT,
        f"Take {NEAT}: it is as good as {LORA} in accuracy and takes less time a step than {LORA}, with as many "
        "parameters.",
    ),
    "of two as fast the one that keeps more of the base": (
        [arm(LORA, 0.8, base=0.2), arm(NEAT, 0.801, seconds=0.105, base=0.6, size=2)],
        NEAT,
        f"Take {NEAT}: it is as good as {LORA} in accuracy and keeps more of the base's own task than {LORA}, with as "
        "many parameters.",
    ),
    "of two that nothing tells apart the first": (
        [arm(LORA, 0.8), arm(NEAT, 0.801, seconds=0.105, size=2)],
        LORA,
        f"Take {LORA}: it is as good as {NEAT} in accuracy and costs no more than {NEAT}.",
    ),
    "what it leaves of the base is said, though parameters come first": (
        [arm(LORA, 0.8, 4096, base=0.6), arm(NEAT, 0.801, 2048, base=0.2, size=2)],
        NEAT,
        f"Take {NEAT}: it is as good as {LORA} in accuracy and has fewer parameters (2,048 against 4,096). Less of the "
        f"base's own task is left than by {LORA}.",
    ),
    "of three the smaller of two as good, both better than the third": (
        [arm(LORA, 0.7, 10), arm(NEAT, 0.801, 50, size=2), arm(DEEP, 0.803, 60, size=3)],
        NEAT,
        f"Take {NEAT}: it is better than {LORA} and as good as {DEEP} in accuracy and has fewer parameters (50 against "
        "60).",
    ),
    "an arm that lost runs is left out": (
        [arm(LORA, 0.8), arm(NEAT, 0.9, size=2, lost=1)],
        LORA,
        f"Take {LORA}, the only arm whose runs have all finished.",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_rule(case):
    runs, take, sentence = CASES[case]
    decision = taken(*runs)
    assert (decision.take, decision.sentence, decision.more_seeds) == (take, sentence, 0)


def test_the_order_of_the_arms_decides_nothing_that_something_else_can():
    for case, (runs, take, _) in CASES.items():
        for order in itertools.permutations(runs):
            if "nothing tells apart" not in case:
                assert taken(*order).take == take, case


def test_a_cheaper_arm_that_is_still_open_is_named():
    runs = [arm(LORA, 0.8, 100, size=5), arm(NEAT, 0.804, 200, size=1), arm(DEEP, 0.796, 10, size=9)]
    pairs = {(one.a, one.b): one.verdict for one in compared(*runs, margin=0.02).differences()}
    assert pairs == {(LORA, NEAT): "as-good", (LORA, DEEP): "as-good", (NEAT, DEEP): "undecided"}
    decision = taken(*runs, margin=0.02)
    assert decision.take == LORA
    assert decision.sentence.endswith(f"Not shown to be as good, with fewer parameters: {DEEP}.")


def test_undecided_says_how_many_seeds_are_missing():
    runs = [arm(LORA, 0.8), arm(NEAT, 0.806, size=5)]
    (difference,) = compared(*runs).differences()
    decision = taken(*runs)
    assert difference.verdict == "undecided" and difference.more_seeds > 0
    assert (decision.take, decision.more_seeds) == (None, difference.more_seeds)
    assert decision.sentence == (
        f"No recommendation yet: no difference is shown between {LORA} and {NEAT} in accuracy, nor that they are as "
        "good to within 0.01; "
        f"at this spread about {difference.more_seeds} more seeds would decide."
    )


def test_the_seeds_that_are_missing_are_those_of_the_arm_nearest_to_a_decision():
    runs = [arm(LORA, 0.8, size=1), arm(NEAT, 0.806, size=5), arm(DEEP, 0.806, size=25)]
    seeds = {frozenset((one.a, one.b)): one.more_seeds for one in compared(*runs).differences()}
    assert all(seeds.values())
    needed = [max(more for pair, more in seeds.items() if label in pair) for label in (LORA, NEAT, DEEP)]
    decision = taken(*runs)
    assert decision.more_seeds == min(needed)
    assert f"of {LORA}, {NEAT} and {DEEP} none is shown to be as good as all the others" in decision.sentence


@pytest.mark.parametrize(
    ("seeds", "size", "said"),
    [(1, 2, "1 shared seed(s) are too few to say anything; take 3"), (3, 1, "3 shared seeds show no spread")],
)
def test_what_no_test_can_judge_is_no_recommendation(seeds, size, said):
    decision = taken(arm(LORA, 0.8, seeds=seeds), arm(NEAT, 0.9, seeds=seeds, size=size))
    assert decision.take is None and decision.more_seeds is None
    assert said in decision.sentence


def test_of_many_arms_each_two_are_tested_and_corrected_for_all_pairs():
    labels = [f"lora:rank={rank}" for rank in range(1, 6)]
    runs = [arm(label, 0.8 + place / 20, size=place + 1) for place, label in enumerate(labels)]
    comparison = compared(*runs)
    assert {one.b for one in comparison.differences()} == {labels[0]}
    first, second = (comparison.runs[4 * place : 4 * place + 4] for place in (4, 3))
    p = stats.ttest_rel(*([run.summary["metric"] for run in arm_runs] for arm_runs in (first, second))).pvalue
    assert p <= 0.05 / 10
    (decision,) = comparison.decisions()
    assert decision.sentence == f"Take {labels[4]}: it is better than 4 arms in accuracy."


def test_too_many_arms_are_told_to_be_compared_again():
    runs = [arm(f"lora:rank={rank}", 0.8, seeds=2, size=rank) for rank in range(1, MAX_ARMS + 2)]
    assert taken(*runs).sentence.startswith(f"No recommendation among {MAX_ARMS + 1} arms: compare those with the best")


def test_the_reference_is_taken_where_all_others_are_shown_to_be_worse_than_it():
    """Though so many arms are told apart by no test of every two: the verdict asks for less."""
    first, *others = [f"lora:rank={rank}" for rank in range(1, MAX_ARMS + 2)]
    runs = [arm(first, 0.9), *(arm(label, 0.5, size=place + 2) for place, label in enumerate(others))]
    decision = taken(*runs)
    assert decision.sentence == f"Take {first}: each of the other {MAX_ARMS} arms is shown to be worse in accuracy."
    assert (decision.take, decision.more_seeds) == (first, 0)
    assert taken(*runs[:-1], arm(others[-1], 0.95, size=30)).take is None


def test_one_arm_alone_has_no_decision_and_settings_have_one_each():
    assert compared(arm(LORA, 0.8)).decisions() == []
    kinds = {"low-rank": {LORA: 0.1, NEAT: 0.5}, "weight-aware": {LORA: 0.6, NEAT: 0.2}}
    scores = [(kind, label, mean) for kind, means in kinds.items() for label, mean in means.items()]
    runs = [arm(label, mean, size=2 + (label == NEAT), options={"kind": kind}) for kind, label, mean in scores]
    comparison = compared(*runs)
    assert [(one.setting, one.take.partition(" @ ")[0]) for one in comparison.decisions()] == [
        ("kind=low-rank", LORA),
        ("kind=weight-aware", NEAT),
    ]
    assert [line.partition(": ")[0] for line in comparison.decision().splitlines()] == [
        f"kind={kind}" for kind in kinds
    ]


BASE = [arm(LORA, 0.8, base=0.6), arm(NEAT, 0.801, 50, base=0.2, size=2)]


def test_what_is_left_of_the_base_is_tested_in_the_same_way_by_its_own_metric():
    comparison = compared(*BASE, margin=0.3)
    (difference,) = comparison.base_differences()
    lora, neat = ([run.summary["base_metric"] for run in runs] for runs in BASE)
    assert difference.p == pytest.approx(stats.ttest_rel(lora, neat).pvalue)
    assert (difference.winner, difference.margin, difference.over) == (LORA, 0.01, "seeds")
    assert difference.sentence.startswith(f"{LORA} is better than {NEAT} in accuracy on upright digits (")
    shown = comparison.arms()[1]
    mean, half = sum(neat) / 4, stats.t.isf(0.025, 3) * stats.tstd(neat) / 2
    assert (shown.base_metric, *shown.base_ci95) == pytest.approx((mean, mean - half, mean + half))


def test_a_task_without_a_base_metric_or_runs_that_do_not_know_it_have_none():
    assert compared(arm(LORA, 0.8), arm(NEAT, 0.9, size=2)).base_differences() == []
    teacher = compared(arm(LORA, 0.1, options={}), arm(NEAT, 0.2, size=2, options={}))
    assert teacher.base_differences() == []
    assert teacher.to_dict()["base_differences"] == []


def test_the_report_and_the_document_say_the_same():
    comparison = compared(*BASE)
    document, order = comparison.to_dict(), ordered(comparison)
    assert document["decision"] == comparison.decision()
    assert document["decisions"][0]["take"] == NEAT
    assert document["base_differences"][0]["winner"] == LORA
    assert f"<strong>{breakable(document['decision'])}</strong>" in verdict(comparison)
    assert "What is left of the base's own task" in differences(comparison).unescape()
    assert "served as LoRA" in arms(comparison, order, "")


def test_what_serves_lora_serves_what_can_be_written_as_lora():
    served = {name: row.served_as_lora for name, row in METHODS.items()}
    assert {name for name, how in served.items() if how == "merged only"} == {
        name for name, row in METHODS.items() if "lora" not in row.forms
    }
    assert (served["neat"], served["lora"], served["dora"], served["ia3"]) == ("yes", "yes", "as DoRA", "merged only")
    assert compared(arm(DORA, 0.8)).arms()[0].served_as_lora == "as DoRA"
