"""Runs in other trackers: every value once, under its name; a missing extra named with what installs it."""

import sys
from types import SimpleNamespace

import pytest

from neatlab import BadInput, compare
from neatlab.export.trackers import measurements, to_tensorboard, to_trackio

SMALL = "teacher:d_in=24,d_out=12,samples=60"


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return compare(SMALL, ["lora:rank=2", "neat:rank=2"], seeds=1, steps=3, runs=tmp_path_factory.mktemp("runs"))


class Writer:
    """Keeps what a tracker would be told."""

    def __init__(self, folder):
        self.folder, self.scalars, self.closed = folder, [], False
        (self.path / "log").write_text("")
        WRITERS.append(self)

    @property
    def path(self):
        from pathlib import Path

        return Path(self.folder)

    def add_text(self, name, text):
        assert "lora" in text or "neat" in text

    def add_scalar(self, name, value, step):
        self.scalars.append((name, step, value))

    def close(self):
        self.closed = True


WRITERS: list[Writer] = []


@pytest.fixture
def tensorboard(monkeypatch):
    WRITERS.clear()
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", SimpleNamespace(SummaryWriter=Writer))


def test_measurements_are_the_events_under_their_names(results):
    found = list(measurements(results.runs[0]))
    assert [step for step, values in found if "train/loss" in values] == [1, 2, 3]
    names = {name for _, values in found for name in values}
    assert names >= {"train/lr", "validation/recovered_error", "test/loss", "effective_rank/layers.0.linear"}
    start = {name for step, values in found if step == 0 for name in values}
    assert "norm/layers.0.linear" in start
    assert "effective_rank/layers.0.linear" not in start  # ΔW = 0 has none


def test_tensorboard_gets_every_value_and_whole_folders(results, tensorboard, tmp_path):
    paths = to_tensorboard(results, tmp_path)
    assert [path.parent.name for path in paths] == ["lora_rank=2", "neat_rank=2_depth=2"]
    assert all((path / "log").exists() for path in paths)
    assert not list(tmp_path.rglob("*.part"))
    for writer, run in zip(WRITERS, results.runs, strict=True):
        assert writer.closed
        assert len(writer.scalars) == sum(len(values) for _, values in measurements(run))
    assert to_tensorboard(results, tmp_path) == paths
    assert len(WRITERS) == 2


def test_a_folder_that_cannot_be_written(results, tensorboard, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="cannot be written"):
        to_tensorboard(results, tmp_path / "file")


def test_trackio_gets_a_run_a_run(results, monkeypatch):
    begun = []

    def init(**given):
        run = SimpleNamespace(given=given, logged=[], finished=False)
        run.log = lambda values, step: run.logged.append((step, values))
        run.finish = lambda: setattr(run, "finished", True)
        begun.append(run)
        return run

    monkeypatch.setitem(sys.modules, "trackio", SimpleNamespace(init=init))
    assert to_trackio(results, "mine") == 2
    assert [run.given["group"] for run in begun] == ["lora:rank=2", "neat:rank=2,depth=2"]
    assert begun[0].given["project"] == "mine"
    assert begun[0].logged == list(measurements(results.runs[0]))
    assert all(run.finished for run in begun)


@pytest.mark.parametrize(
    ("export", "module", "name"),
    [(to_tensorboard, "torch.utils.tensorboard", "tensorboard"), (to_trackio, "trackio", "trackio")],
)
def test_a_missing_extra_is_named_with_what_installs_it(results, monkeypatch, tmp_path, export, module, name):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(BadInput, match=rf"{name} is not installed; get it with: pip install '\.\[{name}\]'"):
        export(results, tmp_path / "logs")
    assert not (tmp_path / "logs").exists()


def test_the_real_tensorboard_reads_it_back(results, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (path, _) = to_tensorboard(results, tmp_path)
    log = EventAccumulator(str(path)).Reload()
    expected = [values["train/loss"] for _, values in measurements(results.runs[0]) if "train/loss" in values]
    assert [event.value for event in log.Scalars("train/loss")] == pytest.approx(expected, rel=1e-6)
