"""Trained runs inspected and compared, and the causal slider: what taking a direction out does to task and base."""

import math
import shutil
from pathlib import Path

import pytest
import torch

from neatlab.errors import BadInput
from neatlab.experiments.compare import compare
from neatlab.experiments.execute import make_task
from neatlab.experiments.trained import load_trained
from neatlab.export.adapters import export
from neatlab.inspection import inspect
from neatlab.inspection.causal import Slider
from neatlab.inspection.origin import ORIGIN
from neatlab.inspection.runs import compare_runs, inspect_run
from neatlab.inspection.uploads import open_upload
from tests.test_inspection import dense

ARMS = ["lora:rank=4", "neat:rank=4,activation=linear", "neat:rank=4", "full"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """LoRA, NEAT-linear, NEAT and full fine-tuning on the digits."""
    folder = tmp_path_factory.mktemp("runs")
    return compare("digits", [*ARMS, "head"], seeds=1, steps=30, runs=folder).runs


@pytest.fixture(scope="module")
def slider(trained):
    return Slider(trained[0])


def test_the_four_arms_stand_beside_each_other(trained):
    found = compare_runs(trained[:4], directions=4)
    assert [one.method for one in found.inspections] == ["lora", "neat", "neat", "full"]
    assert len({one.title for one in found.inspections}) == 4
    assert len(found.pairs) == 6 * len(found.inspections[0].layers)
    assert found.frame()["overlap_right"].between(0, 1).all()
    assert len(found.verdict()) == 6


def test_a_runs_figures_are_those_of_its_weights(trained):
    adapted = load_trained(trained[2])
    found = inspect_run(trained[2], directions=4)
    for layer in found.layers:
        delta = dense(adapted.deltas()[layer.name])
        assert layer.spectrum.norm == pytest.approx(float(delta.norm()), rel=1e-5)
        assert layer.against_base.weight_norm == pytest.approx(float(adapted.layers[layer.name].norm()), rel=1e-5)


def test_an_exported_neat_brings_its_base_along(trained, tmp_path):
    export(trained[2], "neat", tmp_path / "neat")
    archive = Path(shutil.make_archive(str(tmp_path / "neat"), "zip", tmp_path, "neat"))
    with open_upload(archive) as uploaded:
        opened = inspect(uploaded, directions=4)
    assert opened.base == "base of task digits"
    for layer, stored in zip(opened.layers, inspect_run(trained[2], directions=4).layers, strict=True):
        assert layer.spectrum.norm == pytest.approx(stored.spectrum.norm, rel=1e-5)
        assert layer.against_base.weight_norm == pytest.approx(stored.against_base.weight_norm, rel=1e-5)
    export(trained[0], "lora", tmp_path / "lora")  # which can be read without one
    assert inspect(tmp_path / "lora").base is None


@pytest.mark.parametrize(
    "said", ["", "[]", "{", '{"task": ["digits"]}', '{"task": "custom:data=/etc/passwd"}', "{" + " " * 20_000 + "}"]
)
def test_where_an_adapter_names_no_task_of_the_lab_its_base_is_asked_for(trained, tmp_path, said):
    export(trained[2], "neat", tmp_path / "neat")
    (tmp_path / "neat" / ORIGIN).write_text(said)
    with pytest.raises(BadInput, match="depends on W₀; give the model with --base"):
        inspect(tmp_path / "neat")


def test_what_has_no_update_is_refused(trained):
    with pytest.raises(BadInput, match="a head run changes no layer"):
        inspect_run(trained[4])
    with pytest.raises(BadInput, match="a head run changes no layer"):
        Slider(trained[4])
    with pytest.raises(BadInput, match="two or more"):
        compare_runs(trained[:1])


def test_runs_of_different_tasks_are_refused(trained, tmp_path):
    other = compare("teacher", ["lora:rank=2"], seeds=1, steps=2, runs=tmp_path).runs[0]
    with pytest.raises(BadInput, match="2 different tasks"):
        compare_runs([trained[0], other])


def test_a_factor_of_one_is_the_trained_model_and_of_zero_the_base_with_its_new_head(trained, slider):
    adapted, task = load_trained(trained[0]), make_task(trained[0].config)
    before, after = slider.scale("all", [0, 1]).points
    whole = task.score(adapted.model, "validation")
    assert after["loss"] == pytest.approx(whole.loss, rel=1e-4)
    assert (after["metric"], after["energy"]) == (whole.metric, pytest.approx(1))
    assert after["base_metric"] == task.base_score(adapted.model)
    with adapted.model.disable_adapter():
        for module in adapted.model.modules():  # the head stays as it was trained
            if hasattr(module, "modules_to_save"):
                module._disable_adapters = False
        bare = task.score(adapted.model, "validation")
    assert before["loss"] == pytest.approx(bare.loss, rel=1e-3)
    assert before["energy"] == pytest.approx(0, abs=1e-9)


def test_directions_add_up_and_the_first_holds_most(slider):
    left = [slider.scale(i, [0]).points[0]["energy"] for i in range(1, slider.count + 1)]
    assert sum(1 - energy for energy in left) == pytest.approx(1, rel=1e-5)
    assert left == sorted(left)


def test_a_scaled_model_is_put_back(slider):
    first = slider.scale(1, [1.0]).points
    with (
        pytest.raises(RuntimeError, match="stop"),
        slider._scaled({slider.layers[0]: slider._part("all", slider.layers[0])}, 0),
    ):
        raise RuntimeError("stop")
    slider.scale("all", [0.0, 2.0])
    assert slider.scale(1, [1.0]).points == first


def test_one_layer_alone(slider):
    name = slider.layers[0]
    found = slider.scale("all", [0], layers=[name])
    assert found.layers == [name]
    assert 0 < found.points[0]["energy"] < 1
    assert list(found.frame().columns) == ["factor", "metric", "loss", "base_metric", "energy"]


def test_intruders_are_directions_of_the_sum_that_w0_lacks(slider):
    name = slider.layers[0]
    basis = slider.intruders(name, epsilon=1.01)  # every direction is one
    assert basis.shape[1] == len(slider._directions[name])
    assert torch.allclose(basis.T @ basis, torch.eye(basis.shape[1], dtype=torch.float64), atol=1e-6)
    assert slider.intruders(name, epsilon=0.0).shape[1] == 0
    point = slider.scale("intruders", [0]).points[0]
    assert 0 <= point["energy"] <= 1 + 1e-9
    assert math.isfinite(point["metric"])


@pytest.mark.parametrize("which", [0, -1, 99, "all of it", True, 1.5])
def test_a_direction_that_is_not_there_is_refused(slider, which):
    with pytest.raises(BadInput, match="allowed: 1 to 4, 'intruders', 'all'"):
        slider.scale(which)
    with pytest.raises(BadInput, match="unknown layer 'x'"):
        slider.scale(1, layers=["x"])


def test_full_fine_tuning_can_be_scaled_too(trained):
    found = Slider(trained[3])
    points = found.scale("all", [0.0, 1.0]).points
    assert points[0]["energy"] == pytest.approx(0, abs=1e-9)
    assert points[0]["loss"] != points[1]["loss"]
    assert (found.metric, found.base_metric is not None) == ("accuracy", True)
