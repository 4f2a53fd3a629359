"""Sweeps: grids, what is skipped, what is pruned, and what is refused."""

import json

import pytest

from neatlab import BadInput, sweep
from neatlab.cli import main
from neatlab.config import make_run, parse_arm
from neatlab.events import Evaluated
from neatlab.experiments import cluster
from neatlab.experiments.halving import Halving
from neatlab.experiments.presets import SWEEPS
from neatlab.experiments.sweep import Sweep
from neatlab.runs.store import Store

SMALL = "teacher:d_in=24,d_out=12,samples=60"


def labels(request):
    return [config.arm.label for config in request.configs]


def test_a_grid_is_every_point_once():
    found = Sweep(SMALL, ["neat:rank=2"], {"depth": [2, 4], "activation": ["relu", "tanh"]}, seeds=1)
    assert labels(found) == [
        "neat:rank=2,depth=2",
        "neat:rank=2,depth=2,activation=tanh",
        "neat:rank=2,depth=4",
        "neat:rank=2,depth=4,activation=tanh",
    ]


def test_axes_over_methods_rates_and_the_task():
    found = Sweep("teacher", ["lora:rank=2"], {"method": ["lora", "neat"], "lr": ["0.1", 0.2]}, seeds=1)
    arms = ("lora:rank=2", "neat:rank=2,depth=2")
    assert labels(found) == [f"{arm},lr={rate}" for arm in arms for rate in ("0.1", "0.2")]
    kinds = Sweep("teacher:d_in=24", ["lora:rank=2"], {"task.kind": ["low-rank", "full-rank"]}, seeds=2)
    assert [c.task_options["kind"] for c in kinds.configs] == ["low-rank"] * 2 + ["full-rank"] * 2
    assert {c.task_options["d_in"] for c in kinds.configs} == {24}


def test_the_reference_comes_first_stands_as_it_is_and_sets_the_size():
    found = Sweep("teacher", ["neat"], {"depth": [2, 4]}, seeds=1, reference="lora:rank=4", match="params")
    assert labels(found) == ["lora:rank=4", "neat:rank=10,depth=2", "neat:rank=9,depth=4"]  # 1280, 1280 and 1314


@pytest.mark.parametrize("name", SWEEPS)
def test_presets_fit_digits(name):
    preset = SWEEPS[name]
    found = Sweep("digits", preset.arms, preset.grid, seeds=1, **preset.settings)
    assert len(found.configs) == {"isolate": 12, "depth-activation": 25, "little-data": 10}[name]


@pytest.mark.parametrize(
    ("arms", "grid", "settings", "message"),
    [
        (
            ["lora"],
            {"depth": [2]},
            {},
            "unknown axis of arm 'lora' 'depth'; allowed: alpha, layers, lr, method, modules, rank, task.OPTION, train",
        ),
        (["neat"], {"dept": [2]}, {}, "did you mean 'depth'"),
        (["neat"], {"depth": [3]}, {}, "depth=3 with residual='paired'"),
        (["neat"], {"method": ["lorra"]}, {}, "did you mean 'lora'"),
        (["neat"], {"task.knd": ["x"]}, {}, "did you mean 'kind'"),
        (["neat"], {"depth": []}, {}, "give at least one"),
        (["neat"], {"train_size": [0.5, 0]}, {}, "training: train_size=0: input should be greater than 0"),
        (["neat"], {"train_size": [2]}, {}, "train_size=2: input should be less than or equal to 1"),
        (["neat"], {"train_size": [0.5]}, {"training": {"train_size": 0.2}}, "train_size is an axis of the grid and"),
        (["neat:rank=13"], {}, {}, "rank=13 is above"),
        (["neat"], {"rank": range(1, 100_001)}, {"seeds": 10}, r"1,000,000 runs; more than 5,000 need --yes"),
        (
            ["neat"],
            {},
            {"scheduler": "tcp://127.0.0.1:9"},
            "no Dask scheduler answers at 'tcp://127.0.0.1:9' within 1 s",
        ),
        (["neat"], {}, {"scheduler": "nonsense://x"}, "no Dask scheduler answers"),
    ],
)
def test_bad_requests_are_refused_and_nothing_is_trained(runs, arms, grid, settings, message, monkeypatch):
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 1)
    with pytest.raises(BadInput, match=message):
        sweep(SMALL, arms, grid, runs=runs, **settings)
    assert not runs.exists() or not Store(runs).runs()


def test_a_dry_run_says_what_there_is_and_what_there_is_to_do(runs, capsys):
    words = ["sweep", "--task", SMALL, "--arm", "neat:rank=2", "--grid", "depth=2,4", "--seeds", "2", "--steps", "5"]
    words += ["--runs", str(runs), "--dry-run"]
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["runs"], found["finished"], found["steps"]) == (4, 0, 20)
    assert found["seconds"] > 0
    assert not runs.exists()
    assert main(words) == 0
    assert capsys.readouterr().out.startswith("4 runs, 0 of them there already; 20 steps to do, about ")


def halving(scores, steps=64, every=4):
    """Which of the runs goes how far, all taking turns, when the i-th always scores `scores[i]`."""
    training = {"steps": steps, "eval_every": every}
    configs = [make_run("digits", parse_arm("lora"), seed, {}, training) for seed in range(len(scores))]
    should_continue, reached, going = Halving(configs), [0] * len(scores), set(range(len(scores)))
    for step in range(every, steps + 1, every):
        for i in sorted(going):
            reached[i] = step
            if not should_continue(configs[i], Evaluated(step, "validation", 1.0, scores[i])):
                going.discard(i)
    return reached


def test_halving_keeps_the_best_and_spends_little_on_the_others():
    reached = halving([0.9, 0.2, 0.3, 0.1, 0.5, 0.6, 0.4, 0.35, 0.15, 0.25, 0.45, 0.55])
    assert reached[0] == 64
    assert sum(reached) < 0.35 * 64 * 12
    assert all(r < 64 for r in reached[1:])


def test_halving_prunes_what_is_not_a_number():
    assert halving([float("nan"), 0.5])[0] == 4
