"""A share of the training data: nested, of each class its share, the same for every arm, and nothing else touched."""

import itertools

import pytest
import torch

from neatlab import BadInput, compare
from neatlab.cli import main
from neatlab.config import make_run, parse_arm
from neatlab.events import Evaluated
from neatlab.experiments.execute import build, make_task
from neatlab.experiments.sweep import Sweep
from neatlab.runs.labels import is_setting
from neatlab.runs.store import Store
from neatlab.tasks import TaskSpec
from neatlab.tasks.base import size
from neatlab.training.batches import training_data
from neatlab.training.loop import train

SMALL = "teacher:d_in=16,d_out=12,samples=60"
STEPS = {"steps": 4, "batch_size": 8}
SHARES = (0.05, 0.1, 0.3, 0.6, 1.0)


def rows(batch):
    """Each example as bytes."""
    return [tuple(column[i].numpy().tobytes() for column in batch.values()) for i in range(size(batch))]


@pytest.mark.parametrize("task", ["digits", "teacher", "arithmetic:samples=200", "facts"])
@pytest.mark.parametrize("seed", [0, 2**31])
def test_a_smaller_share_is_contained_in_a_larger(task, seed):
    loaded = TaskSpec.parse(task).load()
    parts = [training_data(loaded, share, seed) for share in SHARES]
    for small, large in itertools.pairwise(parts):
        assert set(rows(small)) <= set(rows(large))
    count = size(loaded.split("train"))
    assert [size(part) for part in parts] == [round(share * count) for share in SHARES]
    assert rows(parts[-1]) == rows(loaded.split("train"))


def test_another_seed_draws_others_and_the_same_seed_the_same():
    task = TaskSpec("digits").load()
    one, again, other = (set(rows(training_data(task, 0.1, seed))) for seed in (0, 0, 1))
    assert one == again != other


@pytest.mark.parametrize("share", SHARES[1:])
def test_each_class_has_its_share(share):
    task = TaskSpec("digits").load()
    whole = torch.bincount(task.split("train")["label"], minlength=10)
    drawn = torch.bincount(training_data(task, share, 3)["label"], minlength=10)
    assert (drawn - share * whole).abs().max() <= 1


def test_there_is_always_one_example():
    assert size(training_data(TaskSpec.parse(SMALL).load(), 1e-9, 0)) == 1


def config(arm="lora:rank=2", seed=5, **training):
    return make_run("teacher", parse_arm(arm), seed, TaskSpec.parse(SMALL).options, {**STEPS, **training})


def test_a_run_learns_from_its_share_alone(monkeypatch):
    run = config(train_size=0.2)
    task = make_task(run)
    loss, learnt = task.loss, set()

    def watched(model, batch):
        learnt.update(rows(batch) if model.training else ())
        return loss(model, batch)

    monkeypatch.setattr(task, "loss", watched)
    list(train(build(run, task), task, run.training, run.seed))
    assert learnt and learnt <= set(rows(training_data(task, 0.2, 5)))


def test_validation_and_test_stay_whole():
    def scores(run):
        task = make_task(run)
        events = train(build(run, task), task, run.training, run.seed)
        return [(event.split, event.loss, event.metric) for event in events if isinstance(event, Evaluated)]

    whole, share = (scores(config(train_size=size, lr=1e-30)) for size in (1.0, 0.2))  # a model that stays as it was
    assert whole == share
    assert {split for split, *_ in whole} == {"validation", "test"}


def test_the_share_is_part_of_a_runs_name_and_all_of_it_is_not():
    names = [
        config(**more).run_id
        for more in ({}, {"train_size": 1.0}, {"train_size": "1"}, {"train_size": 0.5}, {"train_size": 0.25})
    ]
    assert names[0] == names[1] == names[2]
    assert len(set(names)) == 3


def test_runs_of_two_shares_are_compared_only_with_their_own(runs):
    arms = ["lora:rank=2", "neat:rank=2"]
    parts = [compare(SMALL, arms, seeds=2, runs=runs, training={**STEPS, "train_size": s}) for s in (0.5, 1)]
    both = type(parts[0])([run for part in parts for run in part.runs])
    assert list(both.parts()) == ["train_size=0.5", "train_size=1.0"]
    assert {(d.a.partition(" @ ")[2], d.b.partition(" @ ")[2]) for d in both.differences()} == {
        ("train_size=0.5", "train_size=0.5"),
        ("train_size=1.0", "train_size=1.0"),
    }
    assert sorted(set(both.frame()["train_size"])) == [0.5, 1.0]


def test_an_axis_of_a_sweep_is_every_arm_at_every_share():
    request = Sweep(
        SMALL, ["neat:rank=2"], {"train_size": ["0.5", 1], "depth": [2, 4]}, reference="lora:rank=2", seeds=2
    )
    settings = [(c.training.train_size, c.arm.label, c.seed) for c in request.configs]
    arms = ("lora:rank=2", "neat:rank=2,depth=2", "neat:rank=2,depth=4")
    assert settings == [(share, arm, seed) for share in (0.5, 1.0) for arm in arms for seed in (0, 1)]


def test_a_search_belongs_to_its_share():
    half, whole = (config(train_size=share) for share in (0.5, 1))
    assert is_setting(half, half) and not is_setting(half, whole)


def test_on_the_command_line(runs, capsys):
    words = ["--arm", "lora:rank=2", "--seeds", "1", "--steps", "3", "--runs", str(runs), "--json"]
    assert main(["compare", "--task", SMALL, *words, "--train", "train_size=0.5"]) == 0
    assert [run.config.training.train_size for run in Store(runs).runs()] == [0.5]
    capsys.readouterr()
    assert main(["compare", "--task", SMALL, *words, "--train", "train_size=1.5"]) == 2
    assert "training: train_size='1.5': input should be less than or equal to 1" in capsys.readouterr().err


@pytest.mark.parametrize("share", [0, -0.1, 1.01, "nan", "half"])
def test_what_is_no_share_is_refused(share):
    with pytest.raises(BadInput, match="train_size"):
        make_run("teacher", parse_arm("lora"), 0, {}, {"train_size": share})
