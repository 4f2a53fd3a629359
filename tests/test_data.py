"""`neatlab data`: what there is, in four families, as one list."""

import json
from collections import Counter

import pytest

import neatlab
from neatlab.cli import main
from neatlab.config import make_run, parse_arm
from neatlab.experiments.execute import execute
from neatlab.runs.store import Store
from neatlab.tasks import TASKS, TaskSpec, load_task
from neatlab.tasks.base import size
from tests.task_texts import CASES

PROMISED = ["task", "family", "examples", "base", "license", "source", "bytes", "seconds"]
ENOUGH = {"vision": 6, "language": 8, "arithmetic": 5, "reasoning": 5}
UNCOUNTED = (
    "text"  # reads all packages' source files, some of which have fewer documentation strings than are asked for
)
OFFERED = [(name, options) for name, row in TASKS.items() for options in row.choices.values()]


@pytest.fixture
def rows(tmp_path):
    return neatlab.data(tmp_path)


def test_json_is_a_list_of_what_is_promised(capsys, tmp_path):
    assert main(["data", "--json", "--runs", str(tmp_path)]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed == neatlab.data(tmp_path)
    assert all(list(row) == PROMISED for row in listed)


def test_there_are_two_dozen_settings_in_four_families(rows):
    counts = Counter(row["family"] for row in rows)
    assert all(counts[family] >= enough for family, enough in ENOUGH.items())
    assert set(counts) == {*ENOUGH, "synthetic"}
    assert len({row["task"] for row in rows}) == len(rows) >= 24


def test_each_says_what_it_is_and_whose(rows):
    for row in rows:
        assert row["base"] and row["license"] and row["source"] and row["examples"] > 0
        assert TaskSpec.parse(row["task"]).name in TASKS
        assert (row["bytes"] is None) == (not row["task"].startswith(("sentiment", "banking77", "clinc150")))
        assert row["seconds"] is None


@pytest.mark.parametrize(("name", "options"), [one for one in OFFERED if one[0] != UNCOUNTED], ids=str)
def test_as_many_examples_as_are_said(name, options):
    model = {"model": CASES[name].options["model"]} if "model" in CASES[name].options else {}
    task = load_task(name, {**model, **options})
    said = TASKS[name].count(TASKS[name].options.model_validate(options))
    assert size(task.split("train")) == said


def test_seconds_are_those_of_runs_of_exactly_this_task(tmp_path, capsys):
    for options in ({"kind": "low-rank"}, {"kind": "low-rank", "samples": 64}):
        config = make_run("teacher", parse_arm("lora:rank=2"), 0, options, {"steps": 2})
        list(execute(config, store := Store(tmp_path)))
    whole = make_run("teacher", parse_arm("lora:rank=2"), 0, {"kind": "low-rank"}, {"steps": 2})
    rows = {row["task"]: row["seconds"] for row in neatlab.data(tmp_path)}
    assert rows.pop("teacher:kind=low-rank") == store.get(whole.run_id).summary["seconds"]
    assert {*rows.values()} == {None}
    assert main(["data", "--runs", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["task", "family", "examples", "seconds", "license", "source"]
    assert len(lines) == 1 + len(OFFERED)


def test_the_list_needs_no_model(monkeypatch, tmp_path):
    monkeypatch.setattr("neatlab.tasks.pretrained.find_spec", lambda name: None)
    assert len(neatlab.data(tmp_path)) == len(OFFERED)


def test_help_says_what_seconds_are(capsys):
    with pytest.raises(SystemExit):
        main(["data", "--help"])
    assert "median time that a finished run" in " ".join(capsys.readouterr().out.split())
