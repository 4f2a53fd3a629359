"""The loop: events in order, the same seed the same run, divergence said, nothing global disturbed."""

import math
from itertools import pairwise

import pytest
import torch

from neatlab.config import TrainingConfig, make_run, parse_arm
from neatlab.events import Evaluated, RunFailed, RunFinished, RunStarted, SpectrumMeasured, Step, from_dict, to_dict
from neatlab.experiments.compare import compare
from neatlab.experiments.execute import build, make_task
from neatlab.runtime.environment import seed_random
from neatlab.training.loop import Stored, rate_factor, train

SMALL = {"d_in": 24, "d_out": 12, "samples": 60}


def config(arm="neat:rank=3", seed=0, **training):
    return make_run("teacher", parse_arm(arm), seed, SMALL, {"steps": 7, "batch_size": 16, **training})


def events(run):
    task = make_task(run)
    made = train(build(run, task), task, run.training, run.seed)
    return [event for event in made if not isinstance(event, Stored)]


def losses(run):
    return [event.loss for event in events(run) if isinstance(event, Step)]


@pytest.mark.parametrize("seed", [0, 3, -1, (5 << 32) + (1 << 20) + 7])
def test_seeded_numbers_are_those_of_torchs_own_seed(seed):
    torch.manual_seed(seed)
    expected = torch.rand(3)
    seed_random("cpu", seed)
    assert torch.equal(torch.rand(3), expected)


def test_events_come_in_order_and_test_data_is_touched_once_at_the_end():
    seen = events(config(eval_every=3, spectrum_every=4))
    assert isinstance(seen[0], RunStarted)
    assert isinstance(seen[-1], RunFinished)
    assert [e.step for e in seen if isinstance(e, Step)] == list(range(1, 8))
    scored = [e for e in seen if isinstance(e, Evaluated)]
    assert [e.step for e in scored if e.split == "validation"] == [0, 3, 6, 7]
    assert [(e.step, seen.index(e)) for e in scored if e.split == "test"] == [(7, len(seen) - 2)]
    assert [e.step for e in seen if isinstance(e, SpectrumMeasured)] == [0, 4, 7]


def test_a_tuning_run_never_touches_the_test_split(monkeypatch):
    run = config()
    task = make_task(run)
    real, asked = task.split, []
    monkeypatch.setattr(task, "split", lambda name: asked.append(name) or real(name))
    list(train(build(run, task), task, run.training, run.seed, test=False))
    assert set(asked) == {"train", "validation"}


def test_same_seed_same_run_other_seed_another():
    assert losses(config()) == losses(config())
    assert losses(config()) != losses(config(seed=1))


def test_runs_that_take_turns_repeat_what_each_does_alone():
    runs = [config("lora:rank=3"), config("neat:rank=3")]
    tasks = [make_task(run) for run in runs]
    loops = [train(build(r, t), t, r.training, r.seed) for r, t in zip(runs, tasks, strict=True)]
    turns = [[], []]
    for pair in zip(*loops, strict=True):
        for side, event in zip(turns, pair, strict=True):
            if isinstance(event, Step):
                side.append(event.loss)
    assert turns == [losses(run) for run in runs]


def test_the_global_random_state_is_left_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    events(config())
    assert torch.equal(torch.rand(3), expected)


def test_all_arms_see_the_same_batches():
    first = [losses(config(arm))[0] for arm in ("lora:rank=3", "neat:rank=3", "neat:rank=2,depth=4", "full")]
    assert first == [first[0]] * 4  # ΔW = 0 at the first step, so the loss is the batch's alone


@pytest.mark.parametrize("arm", ["lora:rank=3", "neat:rank=3"])
def test_divergence_is_an_event_that_ends_the_run(arm):
    seen = events(config(arm, steps=200, lr=100.0, warmup=0))
    assert isinstance(seen[-1], RunFailed)
    assert "diverged" in seen[-1].error
    assert sum(isinstance(e, Step) for e in seen) < 200
    assert not any(isinstance(e, Evaluated) and e.split == "test" for e in seen)


def test_nan_in_the_data_is_reported_not_trained_on():
    run = config()
    task = make_task(run)
    task.split("train")["y"].fill_(math.nan)
    seen = list(train(build(run, task), task, run.training, run.seed))
    assert isinstance(seen[-1], RunFailed)
    assert seen[-1].step == 1


@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant"])
def test_rates_rise_through_the_warmup_then_fall(schedule):
    settings = TrainingConfig(steps=100, warmup=0.1, schedule=schedule)
    rates = [rate_factor(done, settings) for done in range(100)]
    assert all(a < b for a, b in pairwise(rates[:11]))
    assert max(rates) == rates[10] == 1
    assert all(a >= b for a, b in pairwise(rates[10:]))
    assert rates[-1] == pytest.approx(1 if schedule == "constant" else 0, abs=0.02)


def test_head_and_adapter_have_rates_of_their_own():
    run = make_run("digits", parse_arm("lora:rank=2"), 0, {}, {"steps": 1, "lr": 1e-2, "head_lr": 1e-4, "warmup": 0})
    task = make_task(run)
    adapted = build(run, task)
    before = {name: p.detach().clone() for name, p in adapted.model.named_parameters() if p.requires_grad}
    list(train(adapted, task, run.training, 0, test=False))
    moved = {
        name: (p - before[name]).abs().max().item() for name, p in adapted.model.named_parameters() if name in before
    }
    head = [value for name, value in moved.items() if "classifier" in name]
    adapter = [value for name, value in moved.items() if "lora_B" in name]
    assert max(head) == pytest.approx(1e-4, rel=0.01)  # Adam's first step is the learning rate
    assert max(adapter) == pytest.approx(1e-2, rel=0.01)


def test_events_survive_the_round_trip():
    for event in events(config()):
        assert str(from_dict(to_dict(event))) == str(event)  # as text: NaN is not equal to itself


def test_forgetting_is_the_base_tasks_metric_before_and_after(runs):
    found = compare("digits", ["lora:rank=2"], seeds=2, steps=3, runs=runs)
    (arm,) = found.to_dict()["arms"]
    task = make_task(found.runs[0].config)
    assert arm["base_metric_before"] == pytest.approx(task.base_score(task.base_model()))
    rows = found.frame()
    assert arm["base_metric"] == pytest.approx(rows["base_metric"].mean())
    assert (rows["base_metric"] != rows["base_metric_before"]).any()
    assert found.to_dict()["base_metric"] == "accuracy on upright digits"


def test_a_task_without_a_base_task_and_a_tuning_run_forget_nothing():
    seen = events(config())
    assert seen[0].base_metric is seen[-1].base_metric is None
    run = make_run("digits", parse_arm("lora:rank=2"), 0, {}, {"steps": 1})
    task = make_task(run)
    tuned = list(train(build(run, task), task, run.training, 0, test=False))
    assert tuned[0].base_metric is tuned[-1].base_metric is None


def test_events_of_a_version_without_forgetting_still_load():
    for event in (events(config())[0], events(config())[-1]):
        values = to_dict(event)
        del values["base_metric"]
        assert from_dict(values) == event
