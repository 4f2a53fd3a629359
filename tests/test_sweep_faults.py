"""Faults: whatever dies, every finished run is kept once, and the next start completes the rest."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from distributed import Client

from neatlab import BadInput, StoreError
from neatlab.config import make_run, parse_arm
from neatlab.events import Evaluated, Step
from neatlab.experiments import cluster as cluster_module
from neatlab.experiments.cluster import cluster, run_all, train_one
from neatlab.experiments.sweep import Incomplete, Sweep
from neatlab.runs.store import Store
from neatlab.runtime import environment as environment_module
from tests.gate import Gate, install, uninstall
from tests.waiting import LIMIT, is_alive, wait_until

pytestmark = pytest.mark.cluster

SMALL = {"d_in": 24, "d_out": 12, "samples": 60}
TASK = "teacher:d_in=24,d_out=12,samples=60"


def configs(count=4, steps=20, **training):
    return [make_run("teacher", parse_arm("neat:rank=2"), s, SMALL, {"steps": steps, **training}) for s in range(count)]


def assert_whole(store, wanted):
    """Each run finished once: one directory, one summary, one start, every step once, in order."""
    assert {run.run_id for run in store.runs()} == {config.run_id for config in wanted}
    for run in store.runs():
        assert run.status == "finished"
        kinds = [event["type"] for event in run.events]
        assert kinds.count("RunStarted") == kinds.count("RunFinished") == 1
        assert [e["step"] for e in run.events if e["type"] == "Step"] == list(range(1, run.config.training.steps + 1))
    assert {path.name for path in store.root.iterdir()} - {run.run_id for run in store.runs()} <= {
        ".neatlab-store",
        ".neatlab-newest",
    }


@pytest.fixture(scope="module")
def two():
    with cluster(workers=2) as client:
        yield client


@pytest.fixture
def gate(tmp_path):
    return Gate(tmp_path)


@pytest.fixture
def held(two, gate):
    """The cluster, its runs held after their first step."""
    on_each_worker(two, install, gate.path)
    yield two
    on_each_worker(two, uninstall)


def on_each_worker(client, function, *words):
    """Call it where tasks run: `Client.run` would hold up the worker's own loop with the imports."""
    client.gather([client.submit(function, *words, workers=[worker], pure=False) for worker in client.ncores()])


def test_events_stream_back_and_results_are_in_the_store(held, gate, runs):
    heard, held_runs, store = set(), [], Store(runs)

    def let_go_when_heard(config, event):
        heard.add((config.run_id, type(event).__name__))
        if isinstance(event, Step) and config.run_id not in held_runs:
            held_runs.append(config.run_id)
            # Both workers hold a run: one that went before the other was heard would have gone with the other's pass.
            gate.let_go({1: 0, 2: 2}.get(len(held_runs), 1))

    assert run_all(configs(3), store, lambda: held, let_go_when_heard) == {}
    assert_whole(store, configs(3))
    names = ("RunStarted", "Step", "Evaluated", "SpectrumMeasured", "RunFinished")
    assert heard >= {(c.run_id, name) for c in configs(3) for name in names}


def test_a_killed_worker_loses_only_the_run_under_way(held, gate, runs):
    store, killed = Store(runs), []

    def kill_once(config, event):
        if isinstance(event, Step) and not killed:
            busy = next(address for address, keys in held.processing().items() if any(config.run_id in k for k in keys))
            killed.append(held.run(os.getpid, workers=[busy])[busy])
            os.kill(killed[0], signal.SIGKILL)
            gate.let_go(5)

    wanted = configs(5)
    assert run_all(wanted, store, lambda: held, kill_once) == {}
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

    def should_continue(config, event):
        assert isinstance(event, Evaluated)
        return config.run_id != doomed

    assert run_all(wanted, store, lambda: two, should_continue=should_continue) == {}
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
    monkeypatch.setattr(
        "neatlab.experiments.sweep.run_all", lambda configs, *_: {configs[0].run_id: "KilledWorker: gone"}
    )
    with pytest.raises(Incomplete, match=r"1 of 2 runs were lost .*KilledWorker: gone"):
        Sweep(TASK, ["neat:rank=2"], {}, seeds=2, runs=runs).run(workers=2)


@pytest.fixture
def address(tmp_path):
    """A scheduler and two workers as a user starts them, on this machine."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])}  # for the gate
    dask = [sys.executable, "-m", "distributed.cli.dask_scheduler"]
    file = tmp_path / "scheduler.json"
    common = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": environment, "cwd": tmp_path}
    words = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file)]
    processes = [subprocess.Popen([*dask, *words], **common)]
    wait_until(lambda: file.exists() and file.read_text().rstrip().endswith("}"))
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", "--scheduler-file", str(file)]
    worker += ["--nthreads", "1", "--no-dashboard", "--no-nanny", "--host", "127.0.0.1", "--memory-limit", "0"]
    processes += [subprocess.Popen(worker, **common) for _ in range(2)]
    scheduler = json.loads(file.read_text())["address"]
    with Client(scheduler, timeout=LIMIT, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=LIMIT)
    yield scheduler, processes
    for process in processes:
        process.kill()
        process.wait()


def test_a_worker_lost_on_a_cluster_by_address(address, gate, runs, monkeypatch):
    scheduler, (_, doomed, _) = address
    store, wanted, killed = Store(runs), configs(4), []

    def kill_once(config, event):
        if isinstance(event, Step) and not killed:
            killed.append(doomed.kill())
            gate.let_go(len(wanted) + 1)  # the killed one's may have been taken

    with cluster(scheduler=scheduler) as client:
        on_each_worker(client, install, gate.path)
        assert run_all(wanted, store, lambda: client, kill_once) == {}
    assert killed
    assert_whole(store, wanted)
    real = environment_module.version
    monkeypatch.setattr(environment_module, "version", lambda name: "0.1" if name == "torch" else real(name))
    with pytest.raises(BadInput, match=r"has other versions: torch .*\(here 0\.1\)"), cluster(scheduler=scheduler):
        pass


@pytest.fixture
def interruptible():
    """As in a terminal: xdist's processes are deaf to it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_while_the_workers_start_counts_once_they_stand(interruptible, monkeypatch, capfd):
    """A worker that is being forked when its parent goes away would write a traceback."""
    make, stood = cluster_module._local_cluster, []

    def interrupted(workers):
        os.kill(os.getpid(), signal.SIGINT)
        local = make(workers)
        stood.extend(local.scheduler_info["workers"])
        return local

    monkeypatch.setattr(cluster_module, "_local_cluster", interrupted)
    with pytest.raises(KeyboardInterrupt), cluster(workers=1):
        pytest.fail("nothing was said of the interrupt")
    assert len(stood) == 1
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert "Traceback" not in capfd.readouterr().err


GRID = {"depth": [2, 4]}
STEPS = 20


def start(runs: Path, gate: Gate, workers: int) -> subprocess.Popen:
    command = [sys.executable, "-m", "tests.gated_neatlab", "sweep", "--task", TASK, "--arm", "neat:rank=2"]
    command += ["--grid", "depth=2,4", "--seeds", "4", "--steps", str(STEPS), "--workers", str(workers)]
    command += ["--runs", str(runs)]
    environment = {**os.environ, "NEATLAB_TEST_GATE": gate.path}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def finished(store: Store) -> dict[str, str]:
    """Run id → when it was made, of the finished ones."""
    return {run.run_id: run.environment["created"] for run in store.runs() if run.status == "finished"}


def wait_for_end(family: list[psutil.Process]) -> None:
    wait_until(lambda: not any(map(is_alive, family)))


def test_a_killed_driver_and_a_stopped_one_go_on_where_they_were(two, runs, tmp_path):
    """Of eight runs the first driver is let finish three and the second one more; the third does the others."""
    store, gates = Store(runs), []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        gates.append(Gate(tmp_path / name))
    first = start(runs, gates[0], workers=2)
    gates[0].let_go(3)
    wait_until(lambda: len(finished(store)) == 3)
    family = psutil.Process(first.pid).children(recursive=True)
    first.kill()
    first.communicate()
    wait_for_end(family)
    kept = finished(store)
    assert len(kept) == 3

    second = start(runs, gates[1], workers=1)
    gates[1].let_go()
    wait_until(lambda: len(finished(store)) == 4)
    second.send_signal(signal.SIGINT)
    _, said = second.communicate(timeout=LIMIT)
    assert second.returncode == 1
    assert said.splitlines()[-1].endswith("stopped; finished runs are kept, and the same command goes on from there")
    after = finished(store)
    assert len(after) == 4
    assert kept.items() <= after.items()

    wanted = Sweep(TASK, ["neat:rank=2"], GRID, seeds=4, training={"steps": STEPS}, runs=runs).configs
    assert len(wanted) == 8
    assert run_all(wanted, store, lambda: two) == {}
    assert after.items() <= finished(store).items()
    assert_whole(store, wanted)
