"""Runs as tables and comparisons: who is compared with whom, what was lost, and curves kept beside the runs."""

import math
import os

import orjson
import pandas as pd
import pytest

from neatlab.cli.terminal import arms_table
from neatlab.config import make_run, parse_arm
from neatlab.errors import BadInput, StoreError
from neatlab.report.text import tables
from neatlab.runs.comparison import BASE, Comparison
from neatlab.runs.curves import CACHE, SMALL, read_points
from neatlab.runs.results import Results
from neatlab.runs.run import Run, read_run

NOISE = (0.0, 0.003, -0.002, 0.001)
SCORES = {"lora:rank=4": 0.80, "neat:rank=4,depth=2": 0.90, "neat:rank=4,depth=4": 0.801, "neat:rank=4,depth=6": 0.70}


def ended(arm, seed, metric, task="digits", options=None, status="finished", purpose="report", **summary):
    """A run as the store would read it; a `metric` of None is a run without a score."""
    config = make_run(task, parse_arm(arm), seed, options or {}, {"steps": 10}, purpose)
    scored = {} if metric is None else {"metric": metric}
    values = {"status": status, "adapter_params": 100, "trainable_params": 110, "seconds_per_step": 0.1, "seconds": 1.0}
    return Run(config.run_id, config, {}, values | scored | summary)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def ids(monkeypatch):
    monkeypatch.setattr(Run, "run_id", property(lambda run: run.config.run_id))


def of(scores, options=None, task="digits", seeds=3):
    size = {label: place + 1 for place, label in enumerate(scores)}  # else every difference has no spread
    return [
        ended(label, seed, mean + size[label] * NOISE[seed], task, options)
        for label, mean in scores.items()
        for seed in range(seeds)
    ]


def test_up_to_three_arms_are_compared_each_with_each():
    arms = list(SCORES)[:3]
    found = Comparison(of({arm: SCORES[arm] for arm in arms}))
    pairs = [(entry.a, entry.b) for entry in found.differences()]
    assert pairs == [(arms[0], arms[1]), (arms[0], arms[2]), (arms[1], arms[2])]


def test_more_arms_are_compared_with_the_reference_and_corrected():
    found = Comparison(of(SCORES))
    entries = found.differences()
    assert {entry.b for entry in entries} == {"lora:rank=4"}
    assert len(found.verdict()) == 3
    better, same, worse = entries
    assert better.shown
    assert better.sentence.startswith("neat:rank=4,depth=2 is better than lora:rank=4 in accuracy")
    assert better.p_holm >= better.p
    assert not same.shown
    assert same.verdict == "undecided" and same.winner is None and same.more_seeds > 0
    assert f"about {same.more_seeds} more seeds would decide" in same.sentence
    assert (better.verdict, better.winner, better.more_seeds) == ("better", "neat:rank=4,depth=2", 0)
    assert worse.sentence.startswith("lora:rank=4 is better than neat:rank=4,depth=6")


def test_another_reference():
    found = Comparison(of(SCORES), reference="neat:rank=4,depth=4")
    assert {entry.b for entry in found.differences()} == {"neat:rank=4,depth=4"}
    with pytest.raises(BadInput, match=r"unknown reference 'neat:rank=4,depth=8'.*did you mean"):
        Comparison(of(SCORES), reference="neat:rank=4,depth=8")


def test_arms_on_several_tasks_are_told_apart_and_compared_within_each():
    kinds = {"low-rank": {"lora:rank=4": 0.1, "neat:rank=4": 0.5}, "weight-aware": {"lora:rank=4": 0.5}}
    runs = [run for kind, scores in kinds.items() for run in of(scores, {"kind": kind}, "teacher")]
    found = Comparison(runs, reference="lora:rank=4")
    labels = [arm.arm for arm in found.arms()]
    assert labels == [
        "lora:rank=4 @ kind=low-rank",
        "neat:rank=4,depth=2 @ kind=low-rank",
        "lora:rank=4 @ kind=weight-aware",
    ]
    (entry,) = found.differences()
    assert (entry.a, entry.b) == tuple(labels[:2])
    assert found.references == [labels[0], labels[2]]
    assert list(found.frame()["arm"].unique()) == labels
    assert found.pareto()["adapter_params"] == [labels[0], labels[2]]


def test_lost_runs_are_named_as_what_they_are_and_left_out_of_the_mean():
    runs = [
        ended("lora:rank=4", 0, 0.8),
        ended("lora:rank=4", 1, 0.9),
        ended("neat:rank=4", 0, None, status="pruned"),
        ended("neat:rank=2", 0, 0.7),
        ended("neat:rank=2", 1, None, status="failed"),
    ]
    found = Comparison(runs)
    said = found.verdict()
    assert any(line.startswith("1 of 1 runs of neat:rank=4,depth=2 were stopped early") for line in said)
    assert any(line.startswith("1 of 2 runs of neat:rank=2,depth=2 diverged") for line in said)
    assert not any("neat:rank=4" in line for line in said if "diverged" in line or "too few" in line)
    lora, pruned, partly = found.to_dict()["arms"]
    assert (lora["mean"], pruned["mean"], partly["mean"]) == (pytest.approx(0.85), None, 0.7)
    assert pruned["runs"][0]["status"] == "pruned"


def test_what_is_left_of_the_base_is_in_both_tables_where_it_is_known():
    told = {"effective_rank": 2.0, "saved_bytes": 8, "base_metric_before": 0.98}
    plain = [ended("lora:rank=4", seed, 0.8, **told, base_metric=0.5 + seed / 10) for seed in (0, 1)]
    unknown = [ended("neat:rank=4,depth=2", seed, 0.8, effective_rank=2.0, saved_bytes=8) for seed in (0, 1)]
    both, neither = Comparison([*plain, *unknown]), Comparison(unknown)
    head, first, second = arms_table(both.arms()).splitlines()
    assert head.endswith(BASE)
    assert first.endswith("  0.980 → 0.550 [-0.085, 1.185]")
    assert second.endswith("  –")
    assert BASE not in arms_table(neither.arms())
    page = tables(both, ["lora:rank=4", "neat:rank=4,depth=2"])
    assert "0.980 → 0.550" in page
    assert "Base task: accuracy on upright digits" in page


def test_the_dictionary_holds_what_it_promises_and_no_nan():
    runs = of(SCORES)
    search = [ended("lora:rank=4,lr=1", 9, None, purpose="tune", status="failed", seconds=None)]
    found = Comparison(runs, search).to_dict()
    promised = "arm config adapter_params trainable_params metric mean ci95 seconds_per_step effective_rank runs"
    assert found["arms"][0].keys() >= {*promised.split(), "saved_bytes"}
    assert found["differences"][0].keys() >= {"a", "b", "mean", "ci95", "p", "p_holm", "sentence"}
    assert found["arms"][0]["saved_bytes"] is None
    assert found["search"] == {"runs": 1, "seconds": 0.0}
    assert found["pareto"]["adapter_params"] == ["neat:rank=4,depth=2"]
    assert found["pareto"]["saved_bytes"] == []
    assert b"NaN" not in orjson.dumps(found)


def test_pareto_fronts_follow_cost_and_direction():
    costs = {"lora:rank=4": 300, "neat:rank=4": 200, "neat:rank=2": 100}
    scores = {"lora:rank=4": 0.2, "neat:rank=4": 0.3, "neat:rank=2": 0.25}
    runs = [ended(arm, 0, scores[arm], "teacher", saved_bytes=cost) for arm, cost in costs.items()]
    assert Comparison(runs).pareto()["saved_bytes"] == ["lora:rank=4", "neat:rank=2,depth=2"]


def test_search_runs_are_one_family_whatever_was_searched_for():
    texts = ("neat:rank=4,lr=0.1", "neat:rank=4,lr=0.3", "neat:rank=4,lr=0.1,scaling=3", "neat:rank=8,lr=0.1")
    search = [ended(text, 9, None, purpose="tune", validation_metric=0.5) for text in texts]
    frame = Comparison(of(SCORES), search).search_frame()
    assert list(frame["arm"]) == ["neat:rank=4,depth=2"] * 3 + ["neat:rank=8,depth=2"]
    assert frame["variant"].nunique() == 3
    assert list(frame["lr"]) == [0.1, 0.3, 0.1, 0.1]


def write(folder, seed=0, steps=700, ended=True):
    """A run directory with a `steps` long history."""
    config = make_run("digits", parse_arm("lora:rank=4"), seed, {}, {"steps": steps})
    path = folder / config.run_id
    path.mkdir(parents=True)
    (path / "config.json").write_bytes(orjson.dumps({"run": config.model_dump(), "environment": {}}))
    events = [{"type": "RunStarted", "layers": {}}]
    events += [{"type": "Step", "step": i, "loss": 1 / i, "lr": 1e-3, "seconds": 0.01} for i in range(1, steps + 1)]
    events += [{"type": "Evaluated", "step": steps, "split": "test", "loss": None, "metric": 0.5, "extras": {}}]
    (path / "events.jsonl").write_bytes(b"".join(orjson.dumps(e, option=orjson.OPT_APPEND_NEWLINE) for e in events))
    if ended:
        costs = {"adapter_params": 1, "trainable_params": 1, "seconds": 1.0, "seconds_per_step": 0.1}
        (path / "summary.json").write_bytes(orjson.dumps({"status": "finished", "metric": 0.5, **costs}))
    return path


def curves(path):
    return Results([read_run(path)]).curves()


@pytest.mark.parametrize("ended", [True, False])
def test_curves_are_the_events_in_their_order(runs, ended):
    path = write(runs, ended=ended)
    for _ in range(2):
        found = curves(path)
        assert list(found.columns) == ["run", "arm", "seed", "step", "split", "loss", "metric", "lr", "seconds"]
        assert list(found["step"]) == [*range(1, 701), 700]
        assert found["loss"][1] == 0.5
        assert math.isnan(found["metric"][0])
        last = found.iloc[-1]
        assert (last["run"], last["arm"], last["split"], last["metric"]) == (path.name, "lora:rank=4", "test", 0.5)
        assert math.isnan(last["loss"])
    assert (path / CACHE).exists() == ended
    assert not list(path.glob("*.part"))


def test_curves_of_nothing_are_an_empty_table():
    found = Results([]).curves()
    assert found.empty
    assert list(found["split"].cat.categories) == ["train", "validation", "test"]
    assert Results([]).frame().empty


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(path.read_bytes()[:20]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-9] + b"x" * 9),
        lambda path: path.write_bytes(b"x" + path.read_bytes()[1:]),
    ],
)
def test_a_damaged_cache_is_made_anew(runs, damage):
    path = write(runs)
    first = curves(path)
    whole = (path / CACHE).read_bytes()
    damage(path / CACHE)
    pd.testing.assert_frame_equal(curves(path), first)
    assert (path / CACHE).read_bytes() == whole


def test_a_stale_cache_is_made_anew(runs):
    path = write(runs)
    curves(path)
    events = path / "events.jsonl"
    events.write_bytes(events.read_bytes().replace(b'"metric":0.5', b'"metric":0.6'))
    os.utime(events, ns=(1, 1))
    assert curves(path)["metric"].iloc[-1] == 0.6


def test_no_cache_where_nothing_can_be_written(runs, monkeypatch):
    def refused(*_):
        raise PermissionError(30, "Read-only file system")

    path = write(runs)
    monkeypatch.setattr("pathlib.Path.write_bytes", refused)
    assert len(curves(path)) == 701
    assert sorted(p.name for p in path.iterdir()) == ["config.json", "events.jsonl", "summary.json"]


def test_a_short_run_needs_no_cache(runs):
    path = write(runs, steps=20)
    assert (path / "events.jsonl").stat().st_size < SMALL
    assert len(curves(path)) == 21
    assert not (path / CACHE).exists()


def test_curves_of_a_run_under_way_grow(runs):
    path = write(runs, ended=False)
    before = len(curves(path))
    with open(path / "events.jsonl", "ab") as file:
        file.write(b'{"type":"Step","step":701,"loss":1.0,"lr":0.1,"seconds":0.1}\n{"type":"Step","st')
    assert len(curves(path)) == before + 1


@pytest.mark.parametrize("line", [b'{"type":"Evaluated","split":"dev","step":1}', b'{"type":"Step","step":"x"}'])
def test_events_of_no_version_are_named(runs, line):
    path = write(runs, steps=2)
    (path / "events.jsonl").write_bytes(line + b"\n")
    with pytest.raises(StoreError, match=r"events\.jsonl: a step or evaluation that this version does not know"):
        read_points(read_run(path))


@pytest.mark.parametrize(
    ("text", "line"), [(b"3\n", 1), (b'{"a":1\n"b":2}\n', 1), (b"{}\n1,2\n", 2), (b'{"a":1},\n{}\n', 1)]
)
def test_lines_that_only_make_sense_together_are_damage(runs, text, line):
    path = write(runs, steps=2)
    (path / "events.jsonl").write_bytes(text)
    with pytest.raises(StoreError, match=f"line {line} is not"):
        _ = read_run(path).events
