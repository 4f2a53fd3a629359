"""The scores beside the Train tab's status, and the link that asks with seeds."""

from pathlib import Path
from typing import Any

import pytest

from neatlab.config import RunConfig, make_run, parse_arm
from neatlab.dashboard.ablate.link import AblateLink
from neatlab.dashboard.links import Link
from neatlab.dashboard.sweeps.request import SweepOrder
from neatlab.dashboard.train.answer import answer, seeds_link
from neatlab.dashboard.train.feed import Feed
from neatlab.dashboard.train.snapshot import read_runs
from neatlab.experiments.execute import execute
from neatlab.runs.store import Store
from tests.test_dashboard_runs import tiny

TASK = {"kind": "weight-aware"}
CONTEXT: Any = None  # asked for jobs alone, and there are none


def config(arm: str, **training: Any) -> RunConfig:
    return make_run("teacher", parse_arm(arm), 0, TASK, {"steps": 5, **training})


def order(link: str) -> SweepOrder:
    asked: Any = Link.text(link)
    assert isinstance(asked, AblateLink) or asked.tab == "ablate"
    settings = {"seeds": asked.seeds, "steps": asked.ablate_steps}
    return SweepOrder.check(asked.ablate_task, asked.base, asked.axes(), settings)


@pytest.mark.parametrize("rate", [None, 0.05])
def test_the_link_asks_for_the_runs_that_were_trained_and_for_their_other_seeds(rate: float | None) -> None:
    trained = [config(arm, lr=rate) for arm in ("lora:rank=4", "neat:rank=4,depth=4,activation=tanh")]
    asked = order(seeds_link(trained))
    assert asked.seeds == "auto" and asked.max_seeds > 3
    adapters = [(run.arm.method, run.training.steps, run.arm.options.get("depth")) for run in asked.runs()]
    assert {("lora", 5, None), ("neat", 5, 4)} == set(adapters)
    if rate is None:  # else the rate is the arm's own there, and the run's here: other runs, trained alike
        assert {run.run_id for run in trained} <= {run.run_id for run in asked.runs()}
    else:
        assert {run.arm.lr for run in asked.runs()} == {rate}


@pytest.mark.parametrize(
    "asked",
    [config("lora:rank=4"), config("neat:rank=4", batch_size=7), config("neat:rank=4,activation=hardswish")],
    ids=["no depth", "another batch size", "an activation that Ablate does not offer"],
)
def test_what_ablate_would_train_otherwise_has_no_link(asked: RunConfig) -> None:
    assert seeds_link([asked]) == ""


def test_the_scores_are_those_of_the_step_shown(runs: Path) -> None:
    configs = [tiny("lora", steps=4), tiny("neat", steps=4)]
    for one in configs:
        list(execute(one, Store(runs)))
    seen = read_runs(configs, Feed(runs))
    for at in (None, 0):
        said = answer(seen, at, None, CONTEXT)
        for run in seen.runs:
            scores = {
                e["step"]: e["metric"] for e in run.events if e["type"] == "Evaluated" and e["split"] == "validation"
            }
            assert f"<b>{scores[max(scores) if at is None else at]:.4f}</b>" in said
        assert "one seed: no answer yet" in said and "LoRA r 2" in said
    assert answer(read_runs([], Feed(runs)), None, None, CONTEXT) == ""
