"""The score before and after acts: on the same examples, with the lab's words for what it allows one to say."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import PeftModel
from scipy import stats

import neatlab
from neatlab.adapters.attach import quiet_peft
from neatlab.cli import main
from neatlab.config import make_arm, make_run
from neatlab.editing.proof import Prover, Scores
from neatlab.errors import BadInput
from neatlab.experiments.execute import execute
from neatlab.runs.run import Run
from neatlab.runs.store import Store
from neatlab.tasks import TaskSpec
from neatlab.tasks.base import Score
from neatlab.tasks.metrics import METRICS
from neatlab.tasks.outcomes import Outcomes
from tests.adapters import write_adapter


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    store = Store(tmp_path_factory.mktemp("runs"))
    config = make_run("digits", make_arm("lora", {"rank": 4}), 0, {}, {"steps": 40})
    for _ in execute(config, store):
        pass
    return store.get(config.run_id)


def rescored(folder: Path) -> Score:
    task = TaskSpec.parse("digits").load()
    with quiet_peft():
        model = PeftModel.from_pretrained(task.base_model(), str(folder))
    return task.score(model, "test")


def test_a_runs_scores_are_those_of_both_adapters_paired_by_example(run, tmp_path, capsys):
    words = ["edit", run.run_id, "--runs", str(run.path.parent), "--act", "rewind:alpha=0.5", "--task", "own", "--json"]
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    proof = json.loads(capsys.readouterr().out)["proof"]
    after = rescored(tmp_path / "out")
    assert proof["before"] == pytest.approx(run.summary["metric"])
    assert proof["after"] == pytest.approx(after.metric)
    right = [(one.predicted == one.true).astype(float) for one in (run.outcomes, after.outcomes)]
    expected = stats.ttest_rel(right[1], right[0]).confidence_interval()
    assert (proof["low"], proof["high"]) == pytest.approx((expected.low, expected.high))
    assert proof["changed"] == int((run.outcomes.predicted != after.outcomes.predicted).sum())
    assert proof["base_before"] == pytest.approx(run.summary["base_metric"])
    assert proof["base_after"] > proof["base_before"]


def test_what_changes_no_answer_is_as_good(run, tmp_path):
    done = neatlab.edit(run.path / "adapter", ["compress:energy=1"], tmp_path / "out", task="digits")
    assert (done.proof.changed, done.proof.verdict, done.proof.before) == (0, "as good", done.proof.after)
    assert done.proof.sentence.startswith("accuracy: ")
    assert "of which 0 changed): as good at a margin of 0.01." in done.proof.sentence


def test_what_cannot_be_scored_is_refused_before_anything_is_written(run, tmp_path):
    small = write_adapter(tmp_path / "small")
    folder = run.path / "adapter"
    for adapter, options, message in [
        (folder, {"task": "own"}, "is no run with a task of its own; name the task"),
        (folder, {"task": "digit"}, "unknown task 'digit'; .* did you mean 'digits'"),
        (folder, {"margin": 0.1}, "give the task too"),
        (folder, {"task": "digits", "margin": -1.0}, "margin=-1; give the largest difference"),
        (small, {"task": "digits"}, "holds no trained classifier, which the task digits needs"),
        (small, {"task": "teacher:d_in=12,d_out=12"}, "does not fit the task teacher"),
    ]:
        with pytest.raises(BadInput, match=message):
            neatlab.edit(adapter, ["compress:rank=2"], tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def scores(right: np.ndarray) -> Scores:
    return Scores(Score.by(METRICS["accuracy"], Outcomes.answers(right), 0.0), float("nan"))


@pytest.mark.parametrize(
    ("broken", "mended", "examples", "is_smaller", "verdict"),
    [
        (60, 0, 600, True, "worse"),
        (0, 60, 600, True, "better"),
        (5, 5, 2000, False, "as good"),
        (10, 18, 600, True, "not worse"),
        (10, 18, 600, False, "undecided"),
        (20, 20, 200, True, "undecided"),
        (0, 0, 600, False, "as good"),
        (0, 0, 50, False, "undecided"),  # of new examples one in twenty could change
    ],
)
def test_the_verdict_is_what_the_tests_allow(broken, mended, examples, is_smaller, verdict):
    before = torch.arange(examples) < examples // 2
    after = before.clone()
    after[:broken] = False
    after[examples - mended :] = True
    proof = Prover(TaskSpec.parse("digits")).proof(scores(before.numpy()), scores(after.numpy()), is_smaller)
    assert proof.verdict == verdict
    assert proof.changed == broken + mended
