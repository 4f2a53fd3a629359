"""The command line as a user meets it: exit codes, one line for bad input, JSON alone on standard output."""

import json
import subprocess
import sys

import pytest

from neatlab.cli import main
from neatlab.tasks import load_task
from tests.processes import neatlab

SMALL = "teacher:d_in=24,d_out=12,samples=60"


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    runs = tmp_path_factory.mktemp("cli") / "runs"
    words = ("--arm", "lora:rank=2", "--arm", "neat:rank=2,depth=2", "--seeds", 2, "--steps", 4, "--runs", runs)
    return runs, neatlab("compare", "--task", SMALL, *words, "--json"), words


@pytest.mark.process
def test_json_is_one_document_with_what_was_promised(compared):
    _, done, _ = compared
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    for arm in document["arms"]:
        promised = "arm config adapter_params trainable_params metric mean ci95 seconds_per_step effective_rank runs"
        assert arm.keys() >= set(promised.split())
    assert [arm["arm"] for arm in document["arms"]] == ["lora:rank=2", "neat:rank=2,depth=2"]
    assert document["differences"][0].keys() >= {"a", "b", "mean", "ci95"}
    assert "step/s" in done.stderr


@pytest.mark.process
def test_table_and_verdict(compared, capsys):
    _, _, words = compared
    assert main(["compare", "--task", SMALL, *map(str, words)]) == 0
    captured = capsys.readouterr()
    decision, blank, head, first, *lines = captured.out.splitlines()
    assert decision.startswith(("No recommendation yet: no difference is shown", "Take lora", "Take neat"))
    assert (blank, head.split()[0]) == ("", "arm")
    assert "recovered error (95 % interval)" in head and "served as LoRA" in head
    assert first.startswith("lora:rank=2 ") and first.endswith("  yes")
    assert "step/s" not in captured.err  # all runs were there already
    starts = ("No difference shown between", "lora:rank=2 is better", "neat:rank=2,depth=2 is better")
    assert lines[-2].startswith(starts)
    assert lines[-1].startswith("Arms are paired by seed")


@pytest.fixture
def said(compared, capsys):
    """Runs a `runs` command in this process and returns its standard output."""

    def say(*words):
        assert main(["runs", *map(str, words), "--runs", str(compared[0])]) == 0
        return capsys.readouterr().out

    return say


@pytest.mark.process
def test_runs_list_show_and_export(said, tmp_path):
    assert len(said("list").splitlines()) == 5
    rows = json.loads(said("list", "--json"))
    assert {row["status"] for row in rows} == {"finished"}
    assert json.loads(said("show", rows[0]["run"], "--json"))["config"]["arm"]["method"] == "lora"
    assert rows[0]["run"] in said("show", rows[0]["run"])
    assert said("export", "--csv", tmp_path / "out.csv") == ""
    assert (tmp_path / "out.csv").read_text() == said("export")
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 5


@pytest.mark.process
def test_runs_are_tagged_and_noted_and_listed_by_tag(said):
    ids = [row["run"] for row in json.loads(said("list", "--json"))]
    assert said("tag", *ids[:2], "--add", "Good", "--add", "b") == f"{ids[0]}: tags b, good\n{ids[1]}: tags b, good\n"
    assert json.loads(said("tag", ids[1], "--remove", "good", "--json")) == {ids[1]: ["b"]}
    assert said("note", ids[0], "ran on β") == f"{ids[0]}: ran on β\n"
    assert [row["run"] for row in json.loads(said("list", "--tag", "b", "--json"))] == ids[:2]
    (row,) = json.loads(said("list", "--tag", "GOOD", "--tag", "b", "--json"))
    assert (row["run"], row["tags"], row["note"]) == (ids[0], "b good", "ran on β")
    assert said("list", "--tag", "good").splitlines()[1].endswith("b good")
    assert said("list", "--tag", "other").endswith("with tag other\n")
    assert json.loads(said("show", ids[0], "--json"))["tags"] == ["b", "good"]
    assert said("note", ids[0], "") == f"{ids[0]}: no note\n"
    assert said("tag", *ids[:2], "--remove", "b", "--remove", "good").endswith("no tags\n")


@pytest.mark.process
def test_a_corrupt_run_is_warned_about_and_the_others_are_listed(compared):
    runs, _, _ = compared
    bad = next(p for p in runs.iterdir())
    config = (bad / "config.json").read_bytes()
    (bad / "config.json").write_text("{")
    try:
        done = neatlab("runs", "list", "--runs", runs)
    finally:
        (bad / "config.json").write_bytes(config)
    assert done.returncode == 0
    assert f"warning: run {bad.name} is left out" in done.stderr
    assert len(done.stdout.splitlines()) == 4


def test_a_diverged_and_a_killed_run_are_listed_too(tmp_path, capsys):
    runs = str(tmp_path / "runs")
    words = ["--task", SMALL, "--arm", "lora:rank=2", "--arm", "neat:rank=2,lr=100", "--seeds", "1", "--steps", "200"]
    assert main(["compare", *words, "--runs", runs]) == 0
    assert "1 of 1 runs of neat:rank=2,depth=2,lr=100 diverged" in capsys.readouterr().out
    next(p for p in tmp_path.glob("runs/*/summary.json") if json.loads(p.read_text())["status"] == "finished").unlink()
    assert main(["runs", "list", "--runs", runs]) == 0
    listed = capsys.readouterr().out
    assert "failed" in listed
    assert "unfinished" in listed
    assert "nan" not in listed


@pytest.mark.process
def test_export_writes_a_lora_folder_and_refuses_to_overwrite(compared, said, tmp_path, capsys):
    run = next(row["run"] for row in json.loads(said("list", "--json")) if row["method"] == "neat")
    words = ["export", run, "--format", "lora", "--out", str(tmp_path / "lora"), "--runs", str(compared[0])]
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["relative_error"] == {}
    assert json.loads((tmp_path / "lora" / "adapter_config.json").read_text())["peft_type"] == "LORA"
    assert main(words) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["compare", "--task", "digits", "--arm", "lorra"], "did you mean 'lora'"),
        (["compare", "--task", "dgits", "--arm", "lora"], "did you mean 'digits'"),
        (["compare", "--task", "digits", "--arm", "neat:depth=0"], "PEANuT's depth=0 is depth=2 here"),
        (["compare", "--task", "digits", "--arm", "neat:rank=99"], "allowed: 1 to 64"),
        (["compare", "--task", "digits", "--arm", "lora", "--lr", "nan"], "finite"),
        (["compare", "--task", "digits", "--arm", "lora", "--lr", "-1"], "greater than 0"),
        (["compare", "--task", "digits", "--arm", "lora", "--steps", "1e9"], "steps='1e9'"),
        (["compare", "--task", "digits", "--arm", "lora", "--seeds", "0"], "whole number from 1"),
        (["compare", "--task", "digits"], "--arm"),
        (["compare", "--task", SMALL, "--arm", "lora", "--runs", "/dev/null/runs"], "cannot be written"),
        (["runs", "show", "../../etc", "--runs", "."], "12 hexadecimal digits"),
        (["runs", "list", "--runs", "/nowhere"], "no runs folder /nowhere"),
        (["runs", "list", "--tag", "two words"], "tag 'two words'; allowed: up to 40 letters"),
        (["runs", "tag", "0123456789ab"], "needs --add TAG or --remove TAG"),
        (["runs", "tag", "0123456789ab", "--add", "good", "--runs", "."], "no run 0123456789ab"),
        (["runs", "note", "../../etc", "text", "--runs", "."], "12 hexadecimal digits"),
        (["compair"], "compair"),
        ([], "command"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(words, message, tmp_path, capsys):
    load_task("digits", {}).base_model()  # trained the first time, which is said on standard error
    capsys.readouterr()
    if "--runs" not in words and words[:1] == ["compare"]:
        words = [*words, "--runs", str(tmp_path / "r")]
    assert main(words) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert len(captured.err.strip().splitlines()) == 1
    assert captured.out == ""
    assert not (tmp_path / "r").exists()


@pytest.mark.process
def test_bad_input_from_a_shell(tmp_path):
    words = ["compare", "--task", "digits", "--arm", "neat:depth=0", "--runs", str(tmp_path / "r")]
    done = subprocess.run([sys.executable, "-m", "neatlab", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "neatlab: " + done.stderr.removeprefix("neatlab: ").splitlines()[0] + "\n"
    assert "PEANuT's depth=0 is depth=2 here" in done.stderr


@pytest.mark.process
def test_importing_the_package_is_cheap_and_the_lab_needs_no_gradio():
    code = "import sys, {0}; print(*(m for m in ('torch', 'gradio', 'plotly', 'transformers') if m in sys.modules))"
    for module, expected in (
        ("neatlab", ""),
        ("neatlab.experiments.execute", "torch transformers"),
        ("neatlab.plots", "plotly"),
    ):
        done = subprocess.run([sys.executable, "-c", code.format(module)], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == expected, module


def test_further_training_settings_are_taken_and_those_with_an_option_are_refused(tmp_path, capsys):
    words = ["compare", "--task", SMALL, "--arm", "lora:rank=2", "--seeds", "1", "--steps", "2", "--json"]
    words += ["--runs", str(tmp_path / "runs")]
    assert main([*words, "--train", "batch_size=8", "--train", "accumulate=2"]) == 0
    config = json.loads(capsys.readouterr().out)["arms"][0]["config"]
    assert (config["batch_size"], config["accumulate"]) == (8, 2)
    for pair, said in (("steps=3", "write --steps 3"), ("batch=3", "batch_size"), ("accumulate", "name=value")):
        assert main([*words, "--train", pair]) == 2
        assert said in capsys.readouterr().err
