"""A run's name: a hash of what is not at its default; folders named by the first rule are still read."""

import dataclasses
import shutil
from pathlib import Path

import orjson
import pytest
from peft import PeftModel

from neatlab.adapters.methods import METHODS
from neatlab.cli import main
from neatlab.config import TrainingConfig, make_run, parse_arm
from neatlab.events import RunInterrupted, from_dict
from neatlab.experiments.execute import execute
from neatlab.experiments.trained import load_trained
from neatlab.runs.store import Store
from neatlab.tasks import TASKS
from neatlab.tasks.teacher import Teacher, TeacherOptions

FIRST = Path(__file__).parent / "data" / "first_runs"  # written when every field entered a run's name
LORA, NEAT, STOPPED = "b7e641a6ce30", "9a4d0d7d177d", "31c887440f00"
SMALL = {"d_in": 8, "d_out": 6, "samples": 32}


def config(arm="lora:rank=2", options=SMALL, **training):
    return make_run("teacher", parse_arm(arm), 0, options, {"steps": 3, "batch_size": 8, **training})


class WiderTeacherOptions(TeacherOptions):
    later: int = 7


class WiderTeacher(Teacher):
    options = WiderTeacherOptions


def test_a_name_does_not_change_from_version_to_version():
    assert config().run_id == "4ce8f107134c"


def test_a_name_depends_on_nothing_that_is_at_its_default():
    identity = config().identity()
    assert identity["task_options"] == SMALL
    assert identity["arm"] == {"method": "lora", "options": {"rank": 2}}
    assert not identity["training"].items() & TrainingConfig.defaults().items()
    assert "purpose" not in identity
    assert config(save_every=1).run_id == config(accumulate=1, device="auto").run_id == config().run_id


def test_an_option_that_is_added_later_leaves_the_name_alone(monkeypatch):
    before = config().run_id

    class Wider(METHODS["lora"].options):
        later: str = "default"

    monkeypatch.setitem(METHODS, "lora", dataclasses.replace(METHODS["lora"], options=Wider))
    monkeypatch.setitem(TASKS, "teacher", WiderTeacher)
    assert config().task_options["later"] == 7
    assert config().run_id == before
    assert config("lora:rank=2,later=other").run_id != before
    assert config(options={**SMALL, "later": 8}).run_id != before


def test_a_run_with_other_defaults_is_not_taken_for_todays(runs, monkeypatch):
    list(execute(config(), Store(runs)))

    class Louder(TeacherOptions):
        noise: float = 0.5

    monkeypatch.setattr(Teacher, "options", Louder)
    with pytest.warns(UserWarning, match="other defaults"):
        assert Store(runs).finished(config()) is None


def test_an_interruption_is_an_event(runs):
    events = execute(config(), Store(runs))
    while getattr(next(events), "step", 0) < 2:
        pass
    events.close()
    run = Store(runs).get(config().run_id)
    assert run.status == "interrupted"
    assert from_dict(run.events[-1]) == RunInterrupted(2)


def test_a_failure_without_a_summary_is_no_interruption(runs):
    next(events := execute(config(), Store(runs)))
    events.close()
    run = Store(runs).get(config().run_id)
    with open(run.path / "events.jsonl", "ab") as file:
        file.write(orjson.dumps({"type": "RunFailed", "error": "diverged", "step": 1}) + b"\n")
    assert run.status == "unfinished"


def test_folders_of_the_first_rule_are_listed():
    runs = {run.run_id: run for run in Store(FIRST).runs()}
    assert {run_id: run.status for run_id, run in runs.items()} == {
        LORA: "finished",
        NEAT: "finished",
        STOPPED: "interrupted",
    }
    assert runs[NEAT].config.arm.label == "neat:rank=2,depth=2,activation=gelu,lr=0.02"
    assert len(runs[LORA].events) == 15


@pytest.mark.parametrize("run_id", [LORA, NEAT])
def test_folders_of_the_first_rule_have_weights_that_load_and_export(run_id, tmp_path, capsys):
    run = Store(FIRST).get(run_id)
    assert isinstance(load_trained(run).model, PeftModel)
    assert main(["export", run_id, "--format", "lora", "--out", str(tmp_path / "lora"), "--runs", str(FIRST)]) == 0
    assert (tmp_path / "lora" / "adapter_model.safetensors").exists()
    assert main(["runs", "export", "--runs", str(FIRST)]) == 0
    assert run_id in capsys.readouterr().out


def test_a_changed_folder_of_the_first_rule_is_named(tmp_path):
    path = tmp_path / LORA
    shutil.copytree(FIRST / LORA, path)
    text = (path / "config.json").read_text()
    (path / "config.json").write_text(text.replace('"samples": 32', '"samples": 33'))
    with pytest.warns(UserWarning, match=LORA):
        assert Store(tmp_path).runs() == []
