"""Long runs: one that was interrupted goes on bit by bit; accumulation, autocast and gradient checkpointing."""

import orjson
import pytest
import torch
from safetensors.torch import load_file

from neatlab.config import make_run, parse_arm
from neatlab.errors import BadInput
from neatlab.events import Evaluated, RunFinished, RunStarted, Step
from neatlab.experiments.execute import build, execute, make_task
from neatlab.runs.store import Store
from neatlab.training import checkpoint
from neatlab.training.loop import train
from tests.folders import llama_folder

SMALL = {"d_in": 24, "d_out": 12, "samples": 60}
CLOCKS = ("seconds", "seconds_per_step")


def config(arm="neat:rank=3", task="teacher", options=None, **training):
    settings = {"steps": 9, "batch_size": 16, "eval_every": 4, "spectrum_every": 3, **training}
    return make_run(task, parse_arm(arm), 0, SMALL if options is None else options, settings)


def stop_after(run, store, step):
    """Train and drop the run after a step, as a stopped process does."""
    events = execute(run, store)
    for event in events:
        if isinstance(event, Step) and event.step == step:
            events.close()
            return


def finish(run, store):
    """Train to the end; the steps that it took."""
    return [event.step for event in execute(run, store) if isinstance(event, Step)]


def told(run, store):
    """A run's events and summary without what the clock says, and its weights."""
    found = store.get(run.run_id)
    events = [{name: value for name, value in event.items() if name not in CLOCKS} for event in found.events]
    summary = {name: value for name, value in found.summary.items() if name not in CLOCKS}
    (weights,) = (found.path / "adapter").glob("*.safetensors")
    return orjson.dumps(events), summary, load_file(weights)


DIGITS = {"task": "digits", "options": {}, "steps": 5}


@pytest.mark.parametrize(
    ("arm", "settings"),
    [
        ("neat:rank=3", {}),
        ("lora:rank=3", {"schedule": "cosine", "weight_decay": 0.1, "accumulate": 3}),
        ("full", {"batch_size": 50}),
        ("neat:rank=2", DIGITS),
        ("head", DIGITS),
    ],
)
def test_an_interrupted_run_goes_on_bit_by_bit(tmp_path, arm, settings):
    run = config(arm, **settings, save_every=2)
    whole, broken = Store(tmp_path / "whole"), Store(tmp_path / "broken")
    finish(run, whole)
    stop_after(run, broken, 2)
    assert broken.get(run.run_id).status == "interrupted"
    stop_after(run, broken, 2)  # step 2 was not saved yet: from the start
    stop_after(run, broken, 5 if settings is not DIGITS else 3)
    last = run.training.steps
    assert finish(run, broken) == list(range(5 if settings is not DIGITS else 3, last + 1))
    (events, summary, weights), (again, resumed, others) = told(run, whole), told(run, broken)
    assert events == again
    assert summary == resumed
    assert weights.keys() == others.keys()
    assert all(torch.equal(weights[name], others[name]) for name in weights)
    outcomes, again = (store.get(run.run_id).outcomes for store in (whole, broken))
    assert (outcomes is None) == (again is None) == (settings is not DIGITS)
    if outcomes is not None:
        assert outcomes.predicted.tolist() == again.predicted.tolist()


def test_a_run_that_ended_keeps_no_progress(runs):
    run = config(save_every=2)
    finish(run, Store(runs))
    assert not (runs / run.run_id / checkpoint.FILE).exists()


def test_without_save_every_a_run_starts_anew(runs):
    run = config()
    stop_after(run, Store(runs), 7)
    assert not (runs / run.run_id / checkpoint.FILE).exists()
    assert finish(run, Store(runs)) == list(range(1, 10))


def interrupted(runs):
    run = config(save_every=2)
    stop_after(run, Store(runs), 5)
    return run, runs / run.run_id / checkpoint.FILE


def test_a_damaged_progress_is_named_and_the_run_starts_anew(runs):
    run, path = interrupted(runs)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.warns(UserWarning, match="damaged, and the run starts anew"):
        assert finish(run, Store(runs)) == list(range(1, 10))


def test_other_package_versions_start_anew(runs, monkeypatch):
    run, _ = interrupted(runs)
    monkeypatch.setattr(checkpoint, "package_versions", lambda: {"torch": "1.0"})
    assert finish(run, Store(runs)) == list(range(1, 10))


def test_events_that_were_lost_start_anew(runs):
    run, path = interrupted(runs)
    (path.parent / "events.jsonl").write_bytes(b"")
    assert finish(run, Store(runs)) == list(range(1, 10))


def test_later_fields_leave_the_names_of_earlier_runs_alone():
    named = make_run("digits", parse_arm("lora:rank=4"), 0, {}, {})
    assert named.run_id == "1a92f62708f5"  # whatever field is added with a default
    for later in ({"accumulate": 1}, {"device": "auto"}, {"save_every": 10}):
        assert make_run("digits", parse_arm("lora:rank=4"), 0, {}, later).run_id == named.run_id
    for other in ({"accumulate": 2}, {"precision": "bfloat16"}, {"gradient_checkpointing": True}, {"device": "cpu"}):
        assert make_run("digits", parse_arm("lora:rank=4"), 0, {}, other).run_id != named.run_id


def events(run):
    task = make_task(run)
    return list(train(build(run, task), task, run.training, run.seed))


def losses(found):
    return [event.loss for event in found if isinstance(event, Step)]


@pytest.fixture(params=["teacher", "custom"])
def parted(request, tmp_path):
    """Of a task whose examples count alike, and of one whose answers are one token and many."""
    if request.param == "teacher":
        return {}
    rows = [{"text": f"{number}=", "answer": "x" * (1 + 9 * (number % 2))} for number in range(40)]
    (tmp_path / "train.jsonl").write_bytes(b"\n".join(map(orjson.dumps, rows)))
    told = {"model": llama_folder(), "data": str(tmp_path / "train.jsonl"), "kind": "language", "label": "answer"}
    return {"task": "custom", "options": {**told, "prompt": "{text}"}, "batch_size": 7}


@pytest.mark.parametrize("accumulate", [2, 3, 100])
def test_a_batch_in_parts_has_the_gradient_of_the_whole(accumulate, parted):
    whole, parts = events(config(**parted)), events(config(**parted, accumulate=accumulate))
    assert losses(parts) == pytest.approx(losses(whole), rel=1e-4)
    assert parts[0].saved_bytes < whole[0].saved_bytes


def test_gradient_checkpointing_keeps_less_and_computes_the_same():
    plain, again = (
        events(config(task="digits", options={}, steps=3, gradient_checkpointing=flag)) for flag in (False, True)
    )
    assert losses(again) == pytest.approx(losses(plain), rel=1e-5)
    assert again[0].saved_bytes < 0.5 * plain[0].saved_bytes


def test_gradient_checkpointing_is_refused_where_the_model_has_none():
    with pytest.raises(BadInput, match="this task's model cannot do that"):
        events(config(gradient_checkpointing=True))


@pytest.mark.parametrize("arm", ["lora:rank=3", "neat:rank=3", "neat:rank=2,depth=4,orientation=in"])
def test_autocast_rounds_the_forward_pass_alone(arm):
    exact = events(config(arm, "digits", {}, steps=3))
    rounded = events(config(arm, "digits", {}, steps=3, precision="bfloat16"))
    assert losses(rounded) == pytest.approx(losses(exact), rel=0.05)
    assert losses(rounded) != losses(exact)
    first, second = (next(e for e in found if isinstance(e, Evaluated)) for found in (exact, rounded))
    assert first == second  # before the first step, scored without autocast
    assert isinstance(rounded[0], RunStarted)
    assert isinstance(rounded[-1], RunFinished)


def test_a_gpu_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BadInput, match="torch sees no GPU here"):
        events(config(device="cuda"))
    assert losses(events(config(device="cpu"))) == losses(events(config()))
