"""The rewinding curve against ΔW itself: its ends are the run's own models, and the test split is seen once."""

import json
import math

import pytest
import torch

from neatlab import plots, rewind
from neatlab.adapters.methods import METHODS
from neatlab.cli import main
from neatlab.cli.rewind import _table
from neatlab.errors import BadInput, StoreError
from neatlab.experiments.compare import compare
from neatlab.experiments.execute import make_task
from neatlab.experiments.rewind import ALPHAS, RewindPoint, _best
from neatlab.experiments.trained import load_trained
from neatlab.runs.run import read_run
from neatlab.runs.store import Store
from neatlab.tasks.teacher import Teacher
from tests.test_inspection import dense

SMALL = "teacher:d_in=24,d_out=16,samples=60,layers=2"
OPTIONS = {"rank": 2, "block_size": 8, "n_frequency": 8}
TRAINABLE = [name for name in METHODS if name != "head"]


def written(method):
    fields = METHODS[method].options.model_fields
    return ":".join(filter(None, [method, ",".join(f"{n}={v}" for n, v in OPTIONS.items() if n in fields)]))


@pytest.fixture(scope="module")
def teachers(tmp_path_factory):
    """A run a method on a task without a base metric."""
    folder = tmp_path_factory.mktemp("teachers")
    made = compare(SMALL, [written(method) for method in TRAINABLE], seeds=1, steps=6, runs=folder).runs
    return {run.config.arm.method: run for run in made}


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """LoRA and the head alone on a task with a base metric."""
    return compare("digits", ["lora:rank=2", "head"], seeds=1, steps=8, runs=tmp_path_factory.mktemp("digits")).runs


@pytest.mark.parametrize("method", TRAINABLE)
def test_between_and_beyond_its_ends_the_curve_is_that_of_the_scaled_update(teachers, method):
    run = teachers[method]
    curve, deltas = rewind(run), load_trained(run).deltas()
    learnt = torch.stack([dense(delta) for delta in deltas.values()])
    _, wanted = make_task(run.config)._truth
    for point in curve.points:
        assert point.metric == pytest.approx(float((point.alpha * learnt - wanted).norm() / wanted.norm()), rel=1e-4)
        assert math.isnan(point.base_metric)
    assert tuple(point.alpha for point in curve.points) == ALPHAS


@pytest.mark.parametrize("method", ["lora", "neat", "dora", "full"])
def test_its_ends_are_the_untrained_and_the_trained_model(teachers, method):
    run = teachers[method]
    curve = {point.alpha: point for point in rewind(run).points}
    before = next(event for event in run.events if event["type"] == "Evaluated")
    assert (before["step"], before["split"]) == (0, "validation")
    assert (curve[0].metric, curve[0].loss) == pytest.approx((before["metric"], before["loss"]), rel=1e-5)
    after = run.summary["validation_metric"], run.summary["validation_loss"]
    assert (curve[1].metric, curve[1].loss) == pytest.approx(after, rel=1e-5)


def test_the_test_split_is_scored_once_and_at_the_best_point_alone(teachers, monkeypatch):
    splits, score = [], Teacher.score
    monkeypatch.setattr(Teacher, "score", lambda self, model, name: splits.append(name) or score(self, model, name))
    curve = rewind(teachers["lora"], [1, 0.5, 2, 0.5])
    assert splits == ["validation"] * 3 + ["test"]
    assert [point.alpha for point in curve.points] == [0.5, 1, 2]
    assert curve.best == min(curve.points, key=lambda point: point.loss).alpha
    best = next(point for point in curve.points if point.alpha == curve.best)
    assert curve.test == pytest.approx(best.metric)  # the teacher's metric is that of ΔW, on every split
    assert (curve.selects_by, curve.test_as_trained) == ("loss", teachers["lora"].summary["metric"])
    assert curve.sentence.startswith(
        f"Best on validation data by loss: α = {curve.best:g}; on the test split recovered"
    )


def test_with_a_head_and_a_base_task(digits):
    run = digits[0]
    curve = rewind(run, [0, 1])
    start, end = curve.points
    kept = ("validation_metric", "validation_loss", "base_metric")
    assert (end.metric, end.loss, end.base_metric) == pytest.approx([run.summary[name] for name in kept], rel=1e-5)
    adapted, task = load_trained(run), make_task(run.config)
    bare = task.base_model()
    bare.classifier.load_state_dict(adapted.model.get_base_model().classifier.modules_to_save["default"].state_dict())
    score = task.score(bare, "validation")
    assert (start.metric, start.loss, start.base_metric) == (score.metric, score.loss, task.base_score(bare))
    assert curve.base_metric == "accuracy on upright digits"
    if curve.best == 1:
        assert curve.test == run.summary["metric"]


def test_the_random_state_is_left_alone(digits):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    rewind(digits[0], [0.5])
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    ("points", "by", "higher", "best"),
    [
        ({0: (0.5, 3), 0.5: (0.7, 2), 1: (0.6, 1)}, "metric", True, 0.5),
        ({0: (0.5, 3), 0.5: (0.7, 2), 1: (0.6, 1)}, "metric", False, 0),
        ({0: (0.5, 3), 0.5: (0.7, 2), 1: (0.6, 1)}, "loss", True, 1),
        ({0: (0.5, 1), 0.5: (0.7, 1), 1: (0.7, 1)}, "metric", True, 0.5),
        ({0: (math.nan, 1), 0.5: (0.1, 1), 1: (math.nan, 1)}, "metric", True, 0.5),
    ],
)
def test_the_best_is_by_what_the_task_selects_by_and_of_equals_the_nearest_to_the_base(points, by, higher, best):
    rows = [RewindPoint(alpha, *scores, math.nan) for alpha, scores in points.items()]
    assert _best(rows, by, higher) == best


def test_the_figure_has_a_panel_for_the_base_where_there_is_one(teachers, digits):
    without, both = (rewind(run, [0, 0.5, 1]) for run in (teachers["neat"], digits[0]))
    data = plots.rewinding_data(both)
    assert data.alphas == [0, 0.5, 1]
    assert data.curves == {
        "accuracy, validation split": [point.metric for point in both.points],
        "base: accuracy on upright digits": [point.base_metric for point in both.points],
    }
    figure = plots.rewinding(both, dark=True)
    titles = [axis.title.text.replace("<br>", " ") for axis in figure.select_yaxes()]  # long ones are wrapped
    assert titles == list(data.curves)
    assert (figure.layout.shapes[0].x0, figure.layout.annotations[0].x) == (both.best, both.best)
    (alone,) = plots.rewinding(without).data
    assert list(alone.y) == [point.metric for point in without.points]


def test_from_the_command_line(teachers, capsys):
    run = teachers["neat"]
    curve, words = rewind(run), ["rewind", run.run_id, "--runs", str(run.path.parent)]
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(curve.to_dict()))
    assert main(words) == 0
    head, *rows, blank, sentence = capsys.readouterr().out.splitlines()
    assert head.split() == ["α", "recovered", "error,", "validation", "loss,", "validation"]
    assert [float(row.split()[0]) for row in rows] == list(ALPHAS)
    assert [float(row.split()[0]) for row in rows if row.endswith("best")] == [curve.best]
    assert (blank, sentence) == ("", curve.sentence)


def test_the_table_has_a_column_for_the_base_where_there_is_one(digits):
    curve = rewind(digits[0], [0, 1])
    head, first, _ = _table(curve).splitlines()
    assert "loss, validation  accuracy on upright digits" in head
    assert f"{curve.points[0].base_metric:.4f}" in first.split()


def test_what_cannot_be_rewound_is_said_in_one_line(digits, tmp_path, capsys):
    with pytest.raises(BadInput, match="a head run changes no layer, so there is nothing to rewind"):
        rewind(digits[1])
    for alphas, said in (([], "no α"), ([0.5, math.nan], "α = nan; give finite numbers")):
        with pytest.raises(BadInput, match=said):
            rewind(digits[0], alphas)
    run = compare(SMALL, ["lora:rank=2"], seeds=1, steps=2, runs=tmp_path).runs[0]
    words = ["rewind", run.run_id, "--runs", str(tmp_path)]
    weights = run.path / "adapter" / "adapter_model.safetensors"
    weights.rename(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="adapter cannot be read"):
        rewind(Store(tmp_path).get(run.run_id))
    (run.path / "summary.json").unlink()
    with pytest.raises(BadInput, match=f"run {run.run_id} is unfinished"):
        rewind(read_run(run.path))
    capsys.readouterr()
    for wrong in (words, ["rewind", "0" * 12, *words[2:]], ["rewind", "latest", *words[2:]]):
        assert main(wrong) == 2
        captured = capsys.readouterr()
        assert captured.out == "" and len(captured.err.splitlines()) == 1
