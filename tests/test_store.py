"""Run directories: whole or absent, readable while they grow, robust to what crashes leave."""

import json
import os
from datetime import UTC, datetime, timedelta

import pytest

from neatlab.config import RunConfig, make_run, parse_arm
from neatlab.errors import BadInput, StoreError
from neatlab.events import RunFinished
from neatlab.experiments.execute import execute
from neatlab.runs import index
from neatlab.runs.run import read_run, seal
from neatlab.runs.started import NEWEST
from neatlab.runs.store import Store
from neatlab.runtime import environment

SMALL = {"d_in": 12, "d_out": 8, "samples": 40}


def config(seed=0, arm="lora:rank=2", **training):
    return make_run("teacher", parse_arm(arm), seed, SMALL, {"steps": 3, "batch_size": 16, **training})


def ran(store, run):
    list(execute(run, store))
    return store.root / run.run_id


def test_the_name_is_a_hash_of_the_configuration():
    assert config().run_id == config().run_id
    others = [config(seed=1), config(arm="lora:rank=3"), config(arm="neat:rank=2"), config(lr=0.5), config(steps=4)]
    assert len({run.run_id for run in [config(), *others]}) == 6


def test_a_finished_run_holds_everything_needed_to_repeat_it(runs):
    store = Store(runs)
    path = ran(store, config())
    run = store.get(path.name)
    assert run.config == config()
    assert run.status == "finished"
    assert run.environment["packages"].keys() >= {"torch", "peft", "transformers", "neatlab"}
    assert (path / "adapter" / "adapter_model.safetensors").exists()
    assert run.summary["adapter_params"] == 2 * (12 + 8)
    assert run.summary["metric"] == next(e["metric"] for e in run.events if e.get("split") == "test")


def test_every_event_is_on_disk_when_it_is_yielded(runs):
    run = config()
    for count, _ in enumerate(execute(run, Store(runs)), start=1):
        assert len((runs / run.run_id / "events.jsonl").read_bytes().splitlines()) == count


def test_a_run_that_ends_while_it_is_read_is_not_damaged(runs, monkeypatch):
    path = ran(Store(runs), config())
    aside = (path / "summary.json").rename(runs / "aside.json")
    parse = RunConfig.parse

    def ending(*given):
        if aside.exists():
            aside.rename(path / "summary.json")
        return parse(*given)

    monkeypatch.setattr(RunConfig, "parse", ending)
    assert read_run(path).summary == {}
    assert read_run(path).summary


def test_a_stopped_run_is_unfinished_and_is_started_anew(runs):
    store, run = Store(runs), config()
    going = execute(run, store)
    for _ in range(4):
        next(going)
    going.close()
    assert store.finished(run) is None
    assert store.get(run.run_id).status == "interrupted"
    path = ran(store, run)
    kinds = [json.loads(line)["type"] for line in (path / "events.jsonl").read_text().splitlines()]
    assert kinds.count("RunStarted") == 1
    assert store.finished(run).status == "finished"


def test_a_writer_whose_run_was_started_anew_cannot_finish_it(runs):
    store, run = Store(runs), config()
    lost = execute(run, store)
    next(lost)
    ran(store, run)
    before = store.get(run.run_id).summary
    with pytest.raises(StoreError, match="started anew elsewhere"):
        list(lost)
    assert store.get(run.run_id).summary == before


def test_closing_after_the_last_event_changes_nothing(runs):
    store, run = Store(runs), config()
    going = execute(run, store)
    while not isinstance(next(going), RunFinished):
        pass
    going.close()
    assert store.finished(run).status == "finished"


def test_a_killed_run_is_unfinished(runs):
    store, run = Store(runs), config()
    next(going := execute(run, store))
    assert store.get(run.run_id).status == "unfinished"
    going.close()


def test_a_diverged_run_is_finished_with_its_reason(runs):
    store = Store(runs)
    path = ran(store, config(lr=100.0, steps=200, warmup=0))
    run = store.get(path.name)
    assert run.status == "failed"
    assert "diverged" in run.summary["error"]
    assert run.summary["metric"] is None


def test_a_torn_last_line_is_read_past_but_a_broken_one_before_is_an_error(runs):
    store = Store(runs)
    path = ran(store, config()) / "events.jsonl"
    whole = path.read_bytes()
    count = len(whole.splitlines())
    path.write_bytes(whole[:-5])
    assert len(store.get(config().run_id).events) == count - 1
    path.write_bytes(b'{"type": "St\n' + whole)
    with pytest.raises(StoreError, match="line 1 is not JSON"):
        _ = store.get(config().run_id).events


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: (path / "config.json").unlink(),
        lambda path: (path / "config.json").write_text("{"),
        lambda path: (path / "config.json").write_text("[1]"),
        lambda path: (path / "config.json").write_text('{"run": {"task": "gone"}, "environment": {}}'),
        lambda path: (path / "config.json").write_text((path / "config.json").read_text().replace("0.03", "0.04")),
        lambda path: (path / "config.json").write_text(
            (path / "config.json").read_text().replace('"environment": {', '"environment": 1, "x": {')
        ),
        lambda path: (path / "summary.json").write_bytes(b"\x00"),
        lambda path: (path / "summary.json").write_text("{}"),
        lambda path: (path / "summary.json").write_text('{"x": 1}'),
        lambda path: (path / "summary.json").write_text('{"status": "finished"}'),
        lambda path: (path / "summary.json").write_text(
            (path / "summary.json").read_text().replace('"adapter_params": ', '"adapter_params": "a", "b": ')
        ),
    ],
)
def test_a_corrupt_run_is_named_in_a_warning_and_the_others_are_listed(runs, damage):
    store = Store(runs)
    bad = ran(store, config())
    ran(store, config(seed=1))
    damage(bad)
    with pytest.warns(UserWarning, match=bad.name):
        found = store.runs()
    assert [run.run_id for run in found] == [config(seed=1).run_id]
    if (bad / "summary.json").exists():
        with pytest.warns(UserWarning, match="damaged and will be trained again"):
            assert store.finished(config()) is None
        assert ran(store, config()) == bad
        assert store.finished(config()).status == "finished"


def test_a_run_of_other_defaults_than_todays_can_be_read_and_is_trained_again(runs):
    store, run = Store(runs), config()
    path = ran(store, run) / "config.json"
    stored = json.loads(path.read_text())
    stored["run"]["training"]["lr"] *= 2  # what is written is not what its name stands for today
    path.write_text(json.dumps({**stored, "seal": seal(run.run_id, stored["run"])}))
    assert store.get(run.run_id).config.training.lr == 2 * run.training.lr
    with pytest.warns(UserWarning, match="other defaults than today's"):
        assert store.finished(run) is None


def test_foreign_files_in_the_folder_are_no_runs(runs):
    store = Store(runs)
    ran(store, config())
    (runs / "notes.txt").write_text("mine")
    (runs / "other").mkdir()
    assert len(store.runs()) == 1


@pytest.mark.parametrize("run_id", ["../secrets", "", "a" * 11, "A" * 12, "/etc/passwd", "0123456789ab/..", "0" * 12])
def test_only_ids_of_runs_that_exist_are_taken(runs, run_id):
    with pytest.raises(BadInput):
        Store(runs).get(run_id)


def test_a_deleted_run_is_gone_and_no_other(runs):
    store = Store(runs)
    gone, kept = (ran(store, config(seed=seed)) for seed in (0, 1))
    store.delete(gone.name)
    assert [path.name for path in runs.iterdir() if path.is_dir()] == [kept.name]
    assert store.get(kept.name).status == "finished"
    with pytest.raises(BadInput, match="no run"):
        store.delete(gone.name)


def test_a_damaged_run_can_be_deleted(runs):
    (runs / "0123456789ab").mkdir(parents=True)
    Store(runs).delete("0123456789ab")
    assert not list(runs.iterdir())


OUTSIDE = [
    "",
    ".",
    "..",
    "../outside12",
    "0123456789AB",
    "0123456789ab\n",
    "0123456789ab/",
    "/etc",
    "0123456789ab/../x",
]


@pytest.mark.parametrize("run_id", OUTSIDE)
def test_nothing_but_a_run_can_be_deleted(runs, run_id):
    (runs / "0123456789ab" / "adapter").mkdir(parents=True)
    (runs.parent / "outside12").mkdir()
    with pytest.raises(BadInput, match="12 hexadecimal digits"):
        Store(runs).delete(run_id)
    assert (runs / "0123456789ab" / "adapter").is_dir()
    assert (runs.parent / "outside12").is_dir()


def test_no_link_is_followed_when_a_run_is_deleted(runs, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept.txt").write_text("kept")
    runs.mkdir()
    (runs / "0123456789ab").symlink_to(outside)
    with pytest.raises(BadInput, match="is a link"):
        Store(runs).delete("0123456789ab")
    (runs / "ba9876543210").mkdir()
    (runs / "ba9876543210" / "adapter").symlink_to(outside)
    Store(runs).delete("ba9876543210")
    assert not (runs / "ba9876543210").exists()
    assert (outside / "kept.txt").read_text() == "kept"


def test_a_folder_that_cannot_be_written_is_said_before_work_starts(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        Store(tmp_path / "file" / "runs").check_writable()


@pytest.mark.skipif(os.name != "posix", reason="needs a device file")
def test_a_full_disk_leaves_no_summary(runs, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    store, run = Store(runs), config()
    monkeypatch.setattr("neatlab.runs.writer.os.fsync", full)
    with pytest.raises(StoreError, match="No space"):
        list(execute(run, store))
    monkeypatch.undo()
    assert store.finished(run) is None
    ran(store, run)
    assert store.finished(run).status == "finished"


@pytest.mark.parametrize("name", ["config.json", "summary.json", "events.jsonl"])
@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")], ids=["pipe", "device"])
def test_what_is_no_file_is_not_waited_for(runs, name, make):
    store = Store(runs)
    path = ran(store, config())
    if name == "events.jsonl":
        (path / "summary.json").unlink()
    (path / name).unlink()
    make(path / name)
    readable, damaged = store.survey()
    if name == "events.jsonl":
        (run,) = readable
        assert run.status == "unfinished"
        with pytest.raises(StoreError, match="it is no regular file"):
            _ = run.events
    else:
        assert "it is no regular file" in str(damaged[path.name])


def test_a_file_that_is_too_large_is_not_read(runs):
    store = Store(runs)
    path = ran(store, config())
    os.truncate(path / "events.jsonl", 2**30)
    with pytest.raises(StoreError, match="1,073,741,824 bytes; allowed"):
        _ = store.get(path.name).events
    os.truncate(path / "config.json", 2**30)
    with pytest.raises(StoreError, match="1,073,741,824 bytes; allowed"):
        store.get(path.name)


@pytest.mark.parametrize("value", [b"NaN", b"Infinity", b"1e999"])
def test_events_with_a_number_that_is_none_are_damaged(runs, value):
    store = Store(runs)
    path = ran(store, config())
    with open(path / "events.jsonl", "ab") as events:
        events.write(b'{"type": "Step", "step": 4, "loss": ' + value + b"}\n{}\n")
    with pytest.raises(StoreError):
        _ = store.get(path.name).events


def test_a_folder_that_is_moved_away_is_noticed_at_the_next_event_and_not_written(runs, tmp_path):
    store, run = Store(runs), config()
    going = execute(run, store)
    for _ in range(4):
        next(going)
    runs.rename(tmp_path / "elsewhere")
    before = (tmp_path / "elsewhere" / run.run_id / "events.jsonl").read_bytes()
    with pytest.raises(StoreError, match="is gone, moved or removed while it was written"):
        next(going)
    assert (tmp_path / "elsewhere" / run.run_id / "events.jsonl").read_bytes() == before
    assert not runs.exists()


class BackwardClock:
    """A machine's clock that is put back by an hour whenever it is read."""

    def __init__(self):
        self.reading = datetime(2026, 11, 27, 12, tzinfo=UTC)

    def now(self, zone):
        self.reading -= timedelta(hours=1)
        return self.reading.astimezone(zone)


def test_runs_stay_in_the_order_in_which_they_were_started_though_the_clock_goes_back(runs, monkeypatch):
    monkeypatch.setattr(environment, "datetime", BackwardClock())
    store, seeds = Store(runs), [3, 1, 4, 0, 2]
    for seed in seeds:
        ran(store, config(seed))
    assert [run.config.seed for run in store.runs()] == seeds
    assert all(0 <= event["seconds"] < 60 for run in store.runs() for event in run.events if event["type"] == "Step")
    adopted = {"config.json": (runs / config(2).run_id / "config.json").read_bytes()}
    Store(runs / "other").adopt(config(2).run_id, adopted)
    ran(Store(runs / "other"), config(0))
    assert [run.config.seed for run in Store(runs / "other").runs()] == [2, 0]


@pytest.mark.parametrize("content", [b"", b"yesterday", b"9999-12-31T23:59:59.999+00:00", b"\xff", b"x" * 1000, None])
def test_a_note_of_the_newest_run_that_cannot_be_read_is_written_anew(runs, content):
    store = Store(runs)
    store.check_writable()
    os.mkfifo(runs / NEWEST) if content is None else (runs / NEWEST).write_bytes(content)
    path = ran(store, config())
    assert (runs / NEWEST).read_text() == store.get(path.name).environment["created"]
    assert store.get(path.name).environment["created"] < "9999"


def test_a_run_is_read_anew_when_its_files_change_and_its_events_each_time(runs):
    store, run = Store(runs), config()
    list(zip(range(4), execute(run, store), strict=False))
    (first,) = store.runs()
    assert (first.status, len(first.events)) == ("interrupted", 5)
    ran(store, run)
    (second,) = store.runs()
    assert (second.status, second.summary) == ("finished", store.get(run.run_id).summary)
    assert len(second.events) > len(first.events)
    assert "events" not in vars(store.runs()[0])  # a thousand runs' events are not kept
    (runs / run.run_id / "summary.json").write_text("{}")
    assert [*store.survey()[1]] == [run.run_id]
    store.delete(run.run_id)
    assert store.survey() == ([], {})


def test_a_run_that_is_deleted_while_others_are_read_is_not_damaged(runs, monkeypatch):
    store = Store(runs)
    gone = ran(store, config(0))
    ran(store, config(1))

    def read(path):
        if path == gone:
            store.delete(path.name)
        return read_run(path)

    monkeypatch.setattr(index, "read_run", read)
    readable, damaged = store.survey()
    assert ([run.config.seed for run in readable], damaged) == ([1], {})
