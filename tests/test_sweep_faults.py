"""Faults: whatever dies, every finished run is kept once, and the next start completes the rest."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from neatlab import BadInput, StoreError, sweep
from neatlab import environment as environment_module
from neatlab.config import make_run, parse_arm
from neatlab.engine import cluster, run_all, train_one
from neatlab.events import Evaluated, Step
from neatlab.store import Store
from neatlab.sweeps import Incomplete, Sweep

SMALL = {"d_in": 24, "d_out": 12, "samples": 60}
TASK = "teacher:d_in=24,d_out=12,samples=60"


def configs(count=4, steps=150, **training):
    return [make_run("teacher", parse_arm("neat:rank=2"), s, SMALL, {"steps": steps, **training}) for s in range(count)]


def assert_whole(store, wanted):
    """Each run finished once: one directory, one summary, one start, every step once, in order."""
    assert {run.run_id for run in store.runs()} == {config.run_id for config in wanted}
    for run in store.runs():
        assert run.status == "finished"
        kinds = [event["type"] for event in run.events]
        assert kinds.count("RunStarted") == kinds.count("RunFinished") == 1
        assert [e["step"] for e in run.events if e["type"] == "Step"] == list(range(1, run.config.training.steps + 1))
    assert {path.name for path in store.root.iterdir()} - {run.run_id for run in store.runs()} <= {".neatlab-store"}


@pytest.fixture(scope="module")
def two():
    with cluster(workers=2) as client:
        yield client


def test_events_stream_back_and_results_are_in_the_store(two, runs):
    heard, store = [], Store(runs)
    assert run_all(configs(3, 600), store, lambda: two, lambda c, e: heard.append((c.run_id, type(e).__name__))) == {}
    assert_whole(store, configs(3, 600))
    assert {run_id for run_id, _ in heard} == {c.run_id for c in configs(3, 600)}
    assert {"RunStarted", "Step", "Evaluated", "SpectrumMeasured", "RunFinished"} <= {name for _, name in heard}


def test_a_killed_worker_loses_only_the_run_under_way(two, runs):
    store, killed = Store(runs), []

    def kill_once(config, event):
        if isinstance(event, Step) and not killed:
            busy = next(address for address, keys in two.processing().items() if any(config.run_id in k for k in keys))
            killed.append(two.run(os.getpid, workers=[busy])[busy])
            os.kill(killed[0], signal.SIGKILL)

    wanted = configs(5, steps=600)
    assert run_all(wanted, store, lambda: two, kill_once) == {}
    assert killed
    assert_whole(store, wanted)


def test_a_run_that_diverges_is_a_result_not_a_loss(two, runs):
    store = Store(runs)
    wanted = configs(1, lr=100.0, warmup=0) + configs(1)
    assert run_all(wanted, store, lambda: two) == {}
    assert [store.finished(c).status for c in wanted] == ["failed", "finished"]


def test_a_store_that_cannot_be_written_stops_the_sweep_and_says_so(two, runs):
    store, wanted = Store(runs), configs(2)
    runs.mkdir()
    (runs / wanted[0].run_id).write_text("in the way")
    with pytest.raises(StoreError, match=f"run {wanted[0].run_id} cannot be written"):
        run_all(wanted, store, lambda: two)
    (runs / wanted[0].run_id).unlink()
    assert run_all(wanted, store, lambda: two) == {}
    assert_whole(store, wanted)


def test_advice_prunes_a_run_and_a_later_sweep_without_it_completes_it(two, runs):
    store, wanted = Store(runs), configs(2, steps=60, eval_every=20)
    doomed = wanted[0].run_id

    def advise(config, event):
        assert isinstance(event, Evaluated)
        return config.run_id != doomed

    assert run_all(wanted, store, lambda: two, advise=advise) == {}
    assert [store.get(c.run_id).status for c in wanted] == ["pruned", "finished"]
    assert store.get(doomed).summary["step"] == 20
    assert run_all(wanted, store, lambda: two) == {}
    assert_whole(store, wanted)


def test_workers_without_the_drivers_folder_send_their_files(two, runs, monkeypatch, tmp_path):
    store, (wanted, *_) = Store(runs), configs(1)
    elsewhere = tmp_path / "not-shared"
    files = two.submit(train_one, wanted.model_dump(), str(elsewhere), "another", "alone", False, pure=False).result()
    assert not elsewhere.exists()
    assert {"config.json", "events.jsonl", "summary.json"} <= files.keys()
    runs.mkdir()
    store.adopt(wanted.run_id, files)
    assert_whole(store, [wanted])
    with pytest.raises(StoreError, match="outside its directory"):
        store.adopt(wanted.run_id, {"../../escape": b""})
    assert not (runs.parent / "escape").exists()
    assert_whole(store, [wanted])


def test_a_run_that_dask_gives_up_is_named(two, runs, monkeypatch):
    monkeypatch.setattr("neatlab.sweeps.run_all", lambda configs, *_: {configs[0].run_id: "KilledWorker: gone"})
    with pytest.raises(Incomplete, match=r"1 of 2 runs were lost .*KilledWorker: gone"):
        Sweep(TASK, ["neat:rank=2"], {}, seeds=2, runs=runs).run(workers=2)


@pytest.fixture
def address(tmp_path):
    """A scheduler and two workers as a user starts them, on this machine."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    dask = [sys.executable, "-m", "distributed.cli.dask_scheduler"]
    file = tmp_path / "scheduler.json"
    common = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": environment, "cwd": tmp_path}
    words = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file)]
    processes = [subprocess.Popen([*dask, *words], **common)]
    while not file.exists():
        time.sleep(0.1)
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", "--scheduler-file", str(file)]
    worker += ["--nthreads", "1", "--no-dashboard", "--no-nanny", "--host", "127.0.0.1", "--memory-limit", "0"]
    processes += [subprocess.Popen(worker, **common) for _ in range(2)]
    import json

    yield json.loads(file.read_text())["address"], processes
    for process in processes:
        process.kill()
        process.wait()


def test_a_worker_lost_on_a_cluster_by_address(address, runs, monkeypatch):
    scheduler, (_, doomed, _) = address
    store, wanted, killed = Store(runs), configs(4, steps=600), []

    def kill_once(config, event):
        if isinstance(event, Step) and not killed:
            killed.append(doomed.kill())

    with cluster(scheduler=scheduler) as client:
        client.wait_for_workers(2, timeout=60)
        assert run_all(wanted, store, lambda: client, kill_once) == {}
    assert killed
    assert_whole(store, wanted)
    real = environment_module.version
    monkeypatch.setattr(environment_module, "version", lambda name: "0.1" if name == "torch" else real(name))
    with pytest.raises(BadInput, match=r"has other versions: torch .*\(here 0\.1\)"), cluster(scheduler=scheduler):
        pass


def start(runs: Path, *words: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "neatlab", "sweep", "--task", TASK, "--arm", "neat:rank=2", "--grid", "depth=2,4"]
    command += ["--seeds", "4", "--steps", "1500", "--workers", "2", "--runs", str(runs), *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(condition, seconds=90):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.05)


def test_a_killed_driver_and_a_stopped_one_go_on_where_they_were(runs):
    store = Store(runs)
    wanted = Sweep(TASK, ["neat:rank=2"], {"depth": [2, 4]}, seeds=4, training={"steps": 1500}, runs=runs).configs
    first = start(runs)
    wait_for(lambda: any(run.status == "finished" for run in store.runs()))
    first.kill()
    first.communicate()
    kept = {run.run_id: run.environment["created"] for run in store.runs() if run.status == "finished"}
    assert 1 <= len(kept) < 8

    second = start(runs)
    wait_for(lambda: sum(run.status == "finished" for run in store.runs()) > len(kept))
    second.send_signal(signal.SIGINT)
    _, said = second.communicate(timeout=60)
    assert second.returncode == 1
    assert said.splitlines()[-1].endswith("stopped; finished runs are kept, and the same command goes on from there")
    after = {run.run_id: run.environment["created"] for run in store.runs() if run.status == "finished"}
    assert kept.items() <= after.items()

    found = sweep(TASK, ["neat:rank=2"], {"depth": [2, 4]}, seeds=4, training={"steps": 1500}, runs=runs, workers=2)
    assert len(found.runs) == 8
    assert after.items() <= {run.run_id: run.environment["created"] for run in store.runs()}.items()
    assert_whole(store, wanted)
