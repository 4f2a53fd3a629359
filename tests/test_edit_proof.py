"""The score before and after acts: on the same examples, with the lab's words for what it allows one to say."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import PeftModel
from scipy import stats

import neatlab
from neatlab import plots
from neatlab.adapters.attach import quiet_peft
from neatlab.cli import main
from neatlab.config import make_arm, make_run
from neatlab.editing.curve import EditPoint, smallest
from neatlab.editing.proof import Proof, Prover, Scores
from neatlab.errors import BadInput
from neatlab.experiments.execute import execute
from neatlab.inspection.adapter_folder import read_adapter
from neatlab.inspection.origin import write_origin
from neatlab.runs.run import Run
from neatlab.runs.store import Store
from neatlab.tasks import TaskSpec
from neatlab.tasks.base import Score, Split
from neatlab.tasks.metrics import METRICS
from neatlab.tasks.outcomes import Outcomes
from neatlab.training.batches import shuffled_batches
from tests.adapters import write_adapter


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    store = Store(tmp_path_factory.mktemp("runs"))
    config = make_run("digits", make_arm("lora", {"rank": 4}), 0, {}, {"steps": 40})
    for _ in execute(config, store):
        pass
    return store.get(config.run_id)


def rescored(folder: Path, split: Split = "test") -> Score:
    task = TaskSpec.parse("digits").load()
    with quiet_peft():
        model = PeftModel.from_pretrained(task.base_model(), str(folder))
    return task.score(model, split)


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


def test_what_the_lab_exported_names_its_own_base_and_task(tmp_path):
    store = Store(tmp_path / "runs")
    config = make_run("teacher", make_arm("neat", {"rank": 2}), 0, {"kind": "weight-aware"}, {"steps": 3})
    for _ in execute(config, store):
        pass
    folder = tmp_path / "exported"
    shutil.copytree(store.get(config.run_id).path / "adapter", folder)
    write_origin(store.get(config.run_id), folder)
    acts = {"acts": ["rewind:alpha=0.5"], "task": "own"}
    exported = neatlab.edit(folder, out=tmp_path / "a", **acts)
    of_run = neatlab.edit(config.run_id, out=tmp_path / "b", runs=store.root, **acts)
    assert exported.relative_frobenius == pytest.approx(0.5)
    assert (exported.proof.before, exported.proof.after) == (of_run.proof.before, of_run.proof.after)


def test_what_changes_no_answer_is_as_good(run, tmp_path):
    done = neatlab.edit(run.path / "adapter", ["compress:energy=1"], tmp_path / "out", task="digits")
    assert (done.proof.changed, done.proof.verdict, done.proof.before) == (0, "as good", done.proof.after)
    assert done.proof.sentence.startswith("accuracy: ")
    assert "of which 0 changed): as good at a margin of 0.01." in done.proof.sentence


def test_what_cannot_be_scored_is_refused_before_anything_is_written(run, tmp_path):
    small = write_adapter(tmp_path / "small")
    folder = run.path / "adapter"
    for adapter, options, message in [
        (folder, {"task": "own"}, "names no task of its own; name the task"),
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


class TestReweight:
    def test_gradients_are_those_of_the_weights_themselves(self, run):
        """Against autograd on the merged model's own weights."""
        task = TaskSpec.parse("digits").load()
        gradients = Prover(TaskSpec.parse("digits")).gradients(run.path / "adapter")
        with quiet_peft():
            model = PeftModel.from_pretrained(task.base_model(), str(run.path / "adapter")).merge_and_unload().eval()
        batch = next(shuffled_batches(task.split("train"), 32, 0))
        for layer in read_adapter(run.path / "adapter").layers:
            weight = model.get_parameter(f"{layer}.weight").requires_grad_()
            (expected,) = torch.autograd.grad(task.loss(model, batch), weight)
            torch.testing.assert_close(gradients(layer, 32).float(), expected, rtol=1e-3, atol=1e-6)

    def test_values_go_against_the_loss_and_keep_their_sum(self, run, tmp_path):
        done = neatlab.edit(run.path / "adapter", ["reweight:strength=0.5"], tmp_path / "out", task="digits")
        before, after = (neatlab.inspect(one).layers for one in (run.path / "adapter", tmp_path / "out"))
        for one, other in zip(before, after, strict=True):
            assert float(other.spectrum.singular_values.sum()) == pytest.approx(
                float(one.spectrum.singular_values.sum()), rel=1e-4
            )
        assert 0 < done.relative_frobenius < 0.5 and done.proof.changed > 0
        task = TaskSpec.parse("digits").load()
        batch = next(shuffled_batches(task.split("train"), 64, 0))
        losses = []
        for folder in (run.path / "adapter", tmp_path / "out"):
            with quiet_peft():
                model = PeftModel.from_pretrained(task.base_model(), str(folder)).eval()
            losses.append(float(task.loss(model, batch)))
        assert losses[1] < losses[0]


class TestCurve:
    def test_each_value_is_scored_on_validation_data_and_the_smallest_once_on_the_test(self, run, tmp_path, capsys):
        out, words = tmp_path / "out", ["edit", run.run_id, "--runs", str(run.path.parent), "--task", "own"]
        words += ["--sweep", "compress:rank=4+1+2", "--margin", "0.5", "--json", "--out", str(out)]
        assert main(words) == 0
        curve = json.loads(capsys.readouterr().out)
        assert [point["value"] for point in curve["points"]] == [1, 2, 4]
        assert [point["parameters"] for point in curve["points"]] == [1024, 2048, 4096] and curve["parameters"] == 4096
        assert curve["points"][-1]["proof"]["changed"] == 0
        first = curve["points"][0]["proof"]
        assert first["after"] == pytest.approx(rescored(out, "validation").metric)
        assert first["before"] == pytest.approx(rescored(run.path / "adapter", "validation").metric)
        assert (curve["smallest"], curve["act"]) == (1, "compress:rank=1")
        assert curve["test"]["after"] == pytest.approx(rescored(out).metric)
        assert curve["test"]["before"] == pytest.approx(run.summary["metric"])
        assert "Smallest that is as good on validation data: compress:rank=1, 1,024" in curve["sentence"]

    def test_where_none_is_as_good_nothing_is_written(self, run, tmp_path, capsys):
        words = ["edit", str(run.path / "adapter"), "--sweep", "scale:factor=-1+-2", "--task", "digits"]
        assert main([*words, "--out", str(tmp_path / "out")]) == 0
        assert not (tmp_path / "out").exists()
        said = capsys.readouterr().out
        assert "None of these is shown to be as good as the adapter to within 0.01" in said and "worse" in said

    @pytest.mark.parametrize(
        ("act", "message"),
        [
            ("compress:rank=4", "several values of one option, such as compress:rank=1"),
            ("compress:rank=1+2,energy=0.5+0.9", "several values of one option"),
            ("convert:to=lora+neat", "has no option to vary; allowed: compress"),
            ("shrink:rank=1+2", "unknown act 'shrink'"),
            ("compress:rank=0+1", "greater than or equal to 1"),
            ("compress:rank=1+x", "valid integer"),
            ("scale:factor=" + "+".join(map(str, range(1, 60))), "59 values of factor; at most 50"),
        ],
    )
    def test_what_cannot_be_varied_is_refused_before_anything_is_scored(self, run, act, message):
        with pytest.raises(BadInput, match=message):
            neatlab.edit_curve(run.path / "adapter", act, task="digits")

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["--sweep", "compress:rank=1+2"], "give --task"),
            (["--sweep", "compress:rank=1+2", "--task", "own", "--act", "scale:factor=2"], "give one"),
            (["--act", "scale:factor=2"], "--out is missing"),
        ],
    )
    def test_what_the_command_lacks_is_said(self, run, capsys, words, message):
        assert main(["edit", str(run.path / "adapter"), *words]) == 2
        assert message in capsys.readouterr().err

    def test_the_smallest_has_the_fewest_parameters_then_the_smallest_value(self):
        def point(value, parameters, verdict):
            return EditPoint(value, parameters, 0, 0.0, Proof("t", "m", 0, 0, 0, 0, 0, 0, 0, verdict, None, 0, 0))

        points = [point(1, 10, "worse"), point(2, 20, "as good"), point(1.5, 20, "not worse"), point(4, 40, "better")]
        assert smallest(points).value == 1.5
        assert smallest(points[:1]) is None

    def test_its_figure_marks_the_smallest_and_shows_the_base(self, run):
        curve = neatlab.edit_curve(run.path / "adapter", "rewind:alpha=0.5+1", task="digits")
        data = plots.edit_curve_data(curve)
        assert data.values == [0.5, 1] and list(data.curves) == ["accuracy, validation split", curve.base_metric]
        assert data.high[1] == 0 and data.high[0] > 0
        figure = plots.edit_curve(curve, dark=True)
        assert list(figure.data[0].y) == curve.frame()["metric"].tolist()
        assert figure.data[0].error_y.array[0] == pytest.approx(data.high[0])
        assert [shape.x0 for shape in figure.layout.shapes if shape.xref != "paper"] == [curve.smallest]
