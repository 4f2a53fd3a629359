"""Tags and notes: said of a run, apart from what it is."""

import fcntl
import multiprocessing as mp
import os
import shutil

import orjson
import pytest

from neatlab.config import make_run, parse_arm
from neatlab.errors import BadInput, StoreError
from neatlab.runs import notes
from neatlab.runs.notes import MAX_NOTE, MAX_TAGS, NOTES, Notes, read_notes
from neatlab.runs.results import Results
from neatlab.runs.store import Store

SUMMARY = {"status": "finished", "adapter_params": 4, "trainable_params": 4, "seconds": 1.0, "seconds_per_step": 0.1}
SMALL = {"d_in": 12, "d_out": 8, "samples": 40}
CONFIG = make_run("teacher", parse_arm("lora:rank=2"), 0, SMALL, {"steps": 3})


@pytest.fixture
def store(runs):
    """A store of one finished run."""
    made = Store(runs)
    made.start(CONFIG).finish({**SUMMARY, "metric": 0.5})
    return made


@pytest.fixture
def path(store):
    return store.root / CONFIG.run_id


def test_tags_are_added_and_taken_away_and_a_note_is_written(store):
    run_id = CONFIG.run_id
    assert store.get(run_id).notes == Notes((), "")
    assert store.annotate(run_id, ["Good", "to-check"]) == Notes(("good", "to-check"), "")
    assert store.annotate(run_id, note=" Ran on β,\nagain. ").note == "Ran on β,\nagain."
    assert store.annotate(run_id, ["zz", "good"], ["to-check", "never-there"]).tags == ("good", "zz")
    assert store.get(run_id).notes == Store(store.root).runs()[0].notes == Notes(("good", "zz"), "Ran on β,\nagain.")
    assert store.annotate(run_id, remove=["good", "zz"], note="") == Notes()


def test_the_run_stays_what_it_was(store, path):
    before = {file.name: file.read_bytes() for file in path.iterdir() if file.is_file()}
    store.annotate(path.name, ["good"], note="text")
    after = {file.name: file.read_bytes() for file in path.iterdir() if file.is_file()}
    assert after.pop(NOTES)
    assert after == before
    run = store.get(path.name)
    assert (run.config, run.summary["metric"]) == (CONFIG, 0.5)
    assert store.finished(CONFIG) is not None


def test_a_store_sees_what_another_has_written(store, path):
    assert store.runs()[0].notes.tags == ()
    Store(store.root).annotate(path.name, ["good"])
    assert store.runs()[0].notes.tags == ("good",)
    frame = Results(store.runs()).frame()
    assert (frame["tags"].tolist(), frame["note"].tolist()) == (["good"], [""])


@pytest.mark.parametrize("tag", ["", " ", "two words", "a,b", "<b>", "-first", "a" * 41, "a=b", "a\nb", None, 3])
def test_what_is_no_tag_is_refused_in_one_line(store, path, tag):
    with pytest.raises(BadInput, match="such as to-check") as refused:
        store.annotate(path.name, ["good", tag])
    assert "\n" not in str(refused.value)
    assert not (path / NOTES).exists()


def test_what_is_too_much_is_refused_and_changes_nothing(store, path):
    store.annotate(path.name, [f"t{i}" for i in range(MAX_TAGS)], note="n" * MAX_NOTE)
    before = (path / NOTES).read_bytes()
    with pytest.raises(BadInput, match="21 tags; a run has at most 20"):
        store.annotate(path.name, ["more"])
    with pytest.raises(BadInput, match="2,001 characters; allowed: 2,000"):
        store.annotate(path.name, note="n" * (MAX_NOTE + 1))
    with pytest.raises(BadInput, match=r"'\\x1b'"):
        store.annotate(path.name, note="\x1b[2J")
    assert (path / NOTES).read_bytes() == before
    assert store.annotate(path.name, ["more"], ["t0"]).tags[-1] == "t9"


@pytest.mark.parametrize("run_id", ["0123456789ab", "../../etc", ""])
def test_only_a_run_that_is_there_has_notes(store, run_id):
    with pytest.raises(BadInput):
        store.annotate(run_id, ["good"])


def test_another_process_waits_from_what_is_read_to_what_is_written(store, path, monkeypatch):
    held = []

    def watch(function):
        def watched(*given):
            other = os.open(path, os.O_RDONLY)  # the system lets a second descriptor wait as it does a process
            try:
                fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                held.append(function.__name__)
            finally:
                os.close(other)
            return function(*given)

        return watched

    for function in (notes.read_notes, notes._write):
        monkeypatch.setattr(notes, function.__name__, watch(function))
    assert store.annotate(path.name, ["good"]).tags == ("good",)
    assert held == ["read_notes", "_write"]
    assert store.annotate(path.name, ["better"]).tags == ("better", "good")  # nobody holds it any more


LARGE = b" " * 2**17
WRONG = [{}, {"tags": "good", "note": ""}, {"tags": ["a b"], "note": ""}, {"tags": [], "note": 3}]
WRONG += [{"tags": None, "note": ""}, {"tags": [], "note": "n" * 3000}]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", LARGE, *map(orjson.dumps, WRONG)])
def test_damaged_notes_are_named_and_damage_no_run(store, path, content):
    (path / NOTES).write_bytes(content)
    with pytest.warns(UserWarning, match=f"tags and note of run {path.name} are left out"):
        (run,) = store.runs()
    assert (run.notes, run.summary["metric"]) == (Notes(), 0.5)
    with pytest.raises(StoreError, match="remove it to begin anew"):
        store.annotate(path.name, ["good"])
    assert (path / NOTES).read_bytes() == content


def test_a_pipe_in_their_place_is_not_waited_for(store, path):
    os.mkfifo(path / NOTES)
    with pytest.raises(StoreError, match="no regular file"):
        read_notes(path)


def test_a_run_that_is_trained_anew_keeps_what_was_said_of_it(store, path):
    store.annotate(path.name, ["good"], note="text")
    store.start(CONFIG).finish({**SUMMARY, "metric": 0.7})
    assert store.get(path.name).notes == Notes(("good",), "text")
    files = {file.name: file.read_bytes() for file in path.iterdir() if file.is_file() and file.name != NOTES}
    store.adopt(path.name, files)
    assert store.get(path.name).notes == Notes(("good",), "text")
    shutil.rmtree(path)
    store.adopt(path.name, files)
    assert store.get(path.name).notes == Notes()


def tagging(root, tags):
    """Write each tag in turn, as another process does."""
    for tag in tags:
        Store(root).annotate(CONFIG.run_id, [tag], note=tag * 400)


@pytest.mark.process
def test_processes_that_write_at_once_leave_a_whole_file(store, path):
    context = mp.get_context("fork")
    tags = {f"{letter}{i}" for letter in "ab" for i in range(10)}
    others = [context.Process(target=tagging, args=(store.root, sorted(t for t in tags if t[0] == x))) for x in "ab"]
    for other in others:
        other.start()
    while any(other.is_alive() for other in others):
        notes = read_notes(path)
        assert set(notes.tags) <= tags
        assert notes.note in {"", *(tag * 400 for tag in tags)}
    for other in others:
        other.join()
        assert other.exitcode == 0
    assert read_notes(path).note in {"a9" * 400, "b9" * 400}
    assert [file.name for file in path.iterdir() if NOTES in file.name] == [NOTES]
