"""What a store remembers of its folder is what a new store reads there, whoever has written to it."""

import multiprocessing as mp
import shutil

import pytest

from neatlab.config import make_run, parse_arm
from neatlab.errors import StoreError
from neatlab.runs import index
from neatlab.runs.store import Store

SUMMARY = {"status": "finished", "adapter_params": 4, "trainable_params": 4, "seconds": 1.0, "seconds_per_step": 0.1}
SMALL = {"d_in": 12, "d_out": 8, "samples": 40}


def config(seed):
    return make_run("teacher", parse_arm("lora:rank=2"), seed, SMALL, {"steps": 3})


def write(store, *seeds, metric=0.5):
    for seed in seeds:
        store.start(config(seed)).finish({**SUMMARY, "metric": metric})


def known(store, check=None):
    """Everything that a store says of its runs."""
    readable, damaged = store.survey(check)
    return {run.run_id: (run.config, run.environment, run.summary) for run in readable}, set(damaged)


@pytest.fixture
def settled(monkeypatch):
    """Files count as settled at once."""
    monkeypatch.setattr(index, "SETTLED_NS", -(10**9))


def test_a_run_is_read_once_and_again_when_its_files_have_changed(runs, settled, monkeypatch):
    store, read = Store(runs), []
    write(store, 0, 1, 2)
    monkeypatch.setattr(index, "read_run", lambda path: read.append(path.name) or real_read(path))
    first = known(store)
    assert sorted(read) == sorted(config(seed).run_id for seed in range(3))
    assert known(store) == first
    assert len(read) == 3
    write(store, 1, metric=0.7)
    assert known(store) == known(Store(runs))
    assert read[3] == config(1).run_id


real_read = index.read_run


@pytest.mark.parametrize(
    "change",
    [
        lambda path: shutil.rmtree(path),
        lambda path: (path / "summary.json").unlink(),
        lambda path: (path / "config.json").unlink(),
        lambda path: (path / "config.json").write_bytes((path / "config.json").read_bytes().replace(b"lora", b"neat")),
        lambda path: (path / "summary.json").write_bytes((path / "summary.json").read_bytes().replace(b"0.5", b"0.6")),
        lambda path: write(Store(path.parent), 7),
    ],
)
def test_every_change_of_the_folder_is_seen(runs, settled, change):
    store = Store(runs)
    write(store, 0, 1)
    before = known(store)
    change(runs / config(0).run_id)
    assert known(store) == known(Store(runs)) != before


def test_a_file_that_has_just_changed_is_read_again(runs, monkeypatch):
    """Two changes within a tick of the disk's clock look the same."""
    store = Store(runs)
    write(store, 0)
    monkeypatch.setattr(index, "read_state", lambda path: ((2**62, 0, 0, 0),))
    known(store)
    write(store, 0, metric=0.9)
    assert known(store) == known(Store(runs))


def test_a_quick_look_sees_runs_that_come_go_and_end(runs, settled):
    store = Store(runs)
    write(store, 0, 1)
    going = store.start(config(2))
    assert len(known(store)[0]) == 3
    going.finish({**SUMMARY, "metric": 0.1})
    write(store, 3)
    store.delete(config(0).run_id)
    assert known(store, ()) == known(Store(runs))
    write(store, 1, metric=0.9)
    assert known(store, (config(1).run_id,)) == known(Store(runs))


def test_events_that_a_caller_has_read_are_not_kept(runs, settled):
    store = Store(runs)
    write(store, 0)
    (first,) = store.runs()
    assert first.events == []
    (again,) = store.runs()
    assert again is not first
    assert "events" not in vars(again)


def churn(root, seeds):
    """Write, look, delete every third and look again, as another process does."""
    store = Store(root)
    for seed in seeds:
        write(store, seed)
        store.survey()
        if seed % 3 == 0:
            store.delete(config(seed).run_id)
            store.survey()


@pytest.mark.process
def test_processes_that_write_at_once_see_the_same_runs(runs):
    store, context = Store(runs), mp.get_context("fork")
    others = [context.Process(target=churn, args=(runs, range(i, 30, 2))) for i in (0, 1)]
    for other in others:
        other.start()
    while any(other.is_alive() for other in others):
        readable, damaged = store.survey()
        assert all(isinstance(error, StoreError) for error in damaged.values())
        assert {run.summary["metric"] for run in readable if run.summary} <= {0.5}
    for other in others:
        other.join()
        assert other.exitcode == 0
    assert known(store) == known(Store(runs))
    assert set(known(store)[0]) == {config(seed).run_id for seed in range(30) if seed % 3}
