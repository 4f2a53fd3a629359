"""Several processes: the same training as in one, one store, one voice; two on the CPU, as a launcher starts them."""

import json
import os
import subprocess
import sys

import orjson
import pytest
import torch
from safetensors.torch import load_file

from neatlab.config import make_run, parse_arm
from neatlab.errors import BadInput
from neatlab.experiments.cluster import cluster
from neatlab.experiments.compare import compare
from neatlab.experiments.execute import build, make_task
from neatlab.runs.store import Store
from neatlab.runtime import distributed
from neatlab.tasks import TaskSpec, same_examples
from neatlab.training import loop
from neatlab.training.loop import train
from tests.folders import llama_folder
from tests.processes import neatlab_ranks, script_ranks
from tests.waiting import LIMIT

SMALL = {"d_in": 24, "d_out": 12, "samples": 60}
ARMS = ("lora:rank=2", "neat:rank=2")
REQUEST = ("compare", "--arm", ARMS[0], "--arm", ARMS[1], "--seeds", 1)


def launched(*words, processes=2, **environment):
    """Start a program as `torchrun` does, on a free port of the loopback."""
    launcher = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", processes)
    return subprocess.run(
        [*map(str, (*launcher, *words))],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", **environment},
    )


def options(training):
    return [word for name, value in training.items() for word in ("--train", f"{name}={value}")]


def told(run, kind):
    return [event for event in run.events if event["type"] == kind]


def weights(run):
    (path,) = (run.path / "adapter").glob("*.safetensors")
    return load_file(path)


@pytest.fixture
def languages(tmp_path):
    """A task whose answers are one token and many, so that equal shares of rows are not equal shares of the loss."""
    rows = [{"text": f"{number}=", "answer": "x" * (1 + 9 * (number % 2))} for number in range(40)]
    (tmp_path / "train.jsonl").write_bytes(b"\n".join(map(orjson.dumps, rows)))
    told = {"model": llama_folder(), "data": str(tmp_path / "train.jsonl"), "kind": "language", "label": "answer"}
    return str(TaskSpec("custom", {**told, "prompt": "{text}"}))


@pytest.mark.process
@pytest.mark.parametrize(
    "training",
    [{"batch_size": 16}, {"batch_size": 15, "accumulate": 2}, {"batch_size": 7}],
    ids=["even", "uneven in parts", "tokens"],
)
def test_two_processes_train_as_one_does(tmp_path, training, request):
    task = request.getfixturevalue("languages") if training["batch_size"] == 7 else str(TaskSpec("teacher", SMALL))
    alone = compare(task, ARMS, seeds=1, steps=8, training=training, runs=tmp_path / "alone").runs
    words = ("--task", task, "--steps", 8, *options(training), "--runs", tmp_path / "two", "--json")
    even = training["batch_size"] == 16
    done = launched("-m", "neatlab", *REQUEST, *words) if even else neatlab_ranks(*REQUEST, *words)
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["arms"]) == len(alone) == len(Store(tmp_path / "two").runs())
    for one in alone:
        two = Store(tmp_path / "two").get(one.run_id)
        assert (one.environment["processes"], two.environment["processes"]) == (1, 2)
        kinds = [event["type"] for event in two.events]
        assert kinds == [event["type"] for event in one.events]
        assert kinds.count("RunStarted") == kinds.count("RunFinished") == 1
        losses = [event["loss"] for event in told(one, "Step")]
        assert [event["loss"] for event in told(two, "Step")] == pytest.approx(losses, rel=1e-4)
        assert two.summary["metric"] == pytest.approx(one.summary["metric"], rel=1e-3)
        assert (two.outcomes is None) == (one.outcomes is None) == ("teacher" in task)
        assert one.outcomes is None or same_examples(one.outcomes, two.outcomes)
        assert told(two, "RunStarted")[0]["saved_bytes"] < told(one, "RunStarted")[0]["saved_bytes"]
        for name, weight in weights(one).items():
            torch.testing.assert_close(weights(two)[name], weight, rtol=1e-3, atol=1e-5)


@pytest.mark.process
def test_a_diverging_run_ends_in_all_and_the_next_one_follows(runs):
    training = {"batch_size": 16, "warmup": 0, "eval_every": 200, "spectrum_every": 200}
    words = ("--task", str(TaskSpec("teacher", SMALL)), "--steps", 200, *options(training), "--runs", runs)
    done = neatlab_ranks("compare", "--arm", "lora:rank=2,lr=100", "--arm", "neat:rank=2", "--seeds", 1, *words)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("diverged") == 1
    assert sorted(run.status for run in Store(runs).runs()) == ["failed", "finished"]


def assert_said_once(done, reason, runs):
    assert done.returncode != 0
    assert done.stdout == ""
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("neatlab: ")]
    assert reason in line
    assert not runs.exists() or not any(runs.iterdir())


@pytest.mark.process
def test_what_cannot_be_run_is_said_once_and_ends_all(runs):
    words = ("compare", "--task", "teacher", "--arm", "lora", "--train", "batch_size=1", "--runs", runs)
    done = neatlab_ranks(*words)
    assert_said_once(done, "2 processes for batches of 1", runs)
    assert done.returncode == 2


@pytest.mark.process
def test_what_no_launcher_may_start_is_said_once_and_ends_all(runs):
    done = launched("-m", "neatlab", "sweep", "--task", "teacher", "--arm", "lora", "--runs", runs)
    assert_said_once(done, "sweep on 2 processes; compare alone shares", runs)
    assert "exitcode  : 2" in done.stderr


SCRIPT = """
import json, pathlib, sys, torch
from neatlab.experiments.execute import execute
from neatlab.runtime import distributed
from neatlab.tasks import TaskSpec
from neatlab.config import make_run, parse_arm
from neatlab.errors import StoreError
from neatlab.events import Step, to_dict
from neatlab.runs.store import Store
from neatlab.runtime.cache import cached_tensors

folder, asked = pathlib.Path(sys.argv[1]), []
store, small = Store(folder / "runs"), {"d_in": 24, "d_out": 12, "samples": 60}

def run(seed, **training):
    settings = {"steps": 6, "batch_size": 16, "eval_every": 2, "spectrum_every": 6, **training}
    return make_run("teacher", parse_arm("neat:rank=2"), seed, small, settings)

def should_continue(event):
    asked.append(event.step)
    return event.step < 4

def refuse():
    raise StoreError("full")

def trained():
    asked.append("trained")
    return {"w": torch.rand(3)}

pruned = list(execute(run(0), store, should_continue))
stopped = []
for event in (going := execute(run(1, save_every=2), store)):
    stopped.append(event)
    if isinstance(event, Step) and event.step == 5:
        going.close()
        break
resumed = list(execute(run(1, save_every=2), store))
weights = cached_tensors({"task": "made", "rank": "one"}, trained)["w"].tolist()
try:
    distributed.broadcast_from_main(refuse)
except StoreError as error:
    asked.append(str(error))
reached, unreached, aside = (torch.nn.Parameter(torch.zeros(2)) for _ in range(3))
if distributed.is_main():
    reached.grad, aside.grad = torch.ones(2), torch.ones(2)
summed = distributed.all_reduce_gradients(distributed.rank() + 1.0, [reached, unreached, aside.requires_grad_(False)])
gradients = [None if p.grad is None else p.grad.tolist() for p in (reached, unreached)]
told = [[to_dict(event) for event in events] for events in (pruned, stopped, resumed)]
(folder / f"{distributed.rank()}.json").write_text(json.dumps([told, asked, weights, summed, gradients]))
"""


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """What each of two processes saw of one script, and the store that they left."""
    folder = tmp_path_factory.mktemp("both")
    (folder / "script.py").write_text(SCRIPT)
    done = script_ranks(folder / "script.py", folder, NEATLAB_CACHE=str(folder / "cache"))
    assert done.returncode == 0, done.stderr
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1)], Store(folder / "runs")


@pytest.mark.process
def test_pruning_is_asked_in_the_main_process_and_ends_the_run_in_both(both):
    (main, other), store = both
    assert main[1][:2] == [2, 4]
    assert [event["type"] for event in main[0][0]] == [event["type"] for event in other[0][0]]
    assert other[0][0][-1] == {"type": "RunPruned", "step": 4}
    assert [run.status for run in store.runs() if run.config.seed == 0] == ["pruned"]


@pytest.mark.process
def test_a_caller_who_stops_goes_on_later_in_both(both):
    (main, other), store = both
    for seen in (main, other):
        assert [event["step"] for event in seen[0][2] if event["type"] == "Step"] == [5, 6]
    losses = [[event["loss"] for event in seen[0][2] if event["type"] == "Step"] for seen in (main, other)]
    assert losses[0] == losses[1]
    assert main[0][1][-1]["loss"] == losses[0][0]  # step 5, before and after the stop
    (run,) = [run for run in store.runs() if run.config.seed == 1]
    assert run.status == "finished"
    assert [event["step"] for event in told(run, "Step")] == [1, 2, 3, 4, 5, 6]


@pytest.mark.process
def test_a_base_checkpoint_is_trained_by_the_main_process_alone(both):
    (main, other), _ = both
    assert "trained" in main[1]
    assert other[1] == ["full"]  # its refusals are the main process's
    assert main[1][-1] == "full"
    assert main[2] == other[2]


@pytest.mark.process
def test_gradients_add_up_and_what_nobody_reached_has_none(both):
    for seen in both[0]:
        assert seen[3:] == [3.0, [[1.0, 1.0], None]]


def pretend(monkeypatch, rank, processes):
    for name, value in {"LOCAL_RANK": rank, "RANK": rank, "WORLD_SIZE": processes}.items():
        monkeypatch.setenv(name, str(value))


@pytest.mark.parametrize("processes", [2, 3, 5])
def test_shares_make_up_the_batch(monkeypatch, processes):
    batch, shares = {"x": torch.arange(11)}, []
    for rank in range(processes):
        pretend(monkeypatch, rank, processes)
        shares.append(distributed.shard(batch)["x"])
    assert torch.equal(torch.cat(shares), batch["x"])
    assert len(shares[0]) - len(shares[-1]) <= 1


def test_a_sweep_is_refused_before_it_starts_processes_of_its_own(monkeypatch):
    pretend(monkeypatch, 1, 4)
    with pytest.raises(BadInput, match="a sweep on 4 processes"), cluster():
        pytest.fail("started")


def test_more_processes_than_gpus_are_refused(monkeypatch):
    pretend(monkeypatch, 0, 4)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(BadInput, match=r"4 processes on a machine with 2 GPU\(s\); start at most 2"):
        distributed.local_gpu()


def test_without_a_launcher_nothing_is_joined(runs, monkeypatch):
    monkeypatch.setattr(distributed, "accelerate", None)
    compare(str(TaskSpec("teacher", SMALL)), ["lora:rank=2"], seeds=1, steps=2, runs=runs)
    assert not torch.distributed.is_initialized()
    batch = {"x": torch.arange(3)}
    assert distributed.shard(batch) is batch


def test_each_process_draws_from_a_seed_of_its_own(monkeypatch):
    drawn = []
    monkeypatch.setattr(loop, "seed_random", lambda device, seed: drawn.append(seed))
    monkeypatch.setattr(distributed, "rank", lambda: 3)
    run = make_run("teacher", parse_arm("lora:rank=2"), 1, SMALL, {"steps": 2})
    made = make_task(run)
    list(train(build(run, made), made, run.training, run.seed))
    assert drawn == [(1 << 32) + (3 << 20) + 1, (1 << 32) + (3 << 20) + 2]
