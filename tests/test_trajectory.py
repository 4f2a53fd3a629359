"""A folder of a Trainer's checkpoints as one trajectory, held against dense float64."""

import json
import math
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor

from neatlab import BadInput, NeatConfig, plots
from neatlab.adapters.attach import quiet_peft
from neatlab.cli import main
from neatlab.inspection import checkpoints, inspect, inspect_checkpoints
from tests.models import MODELS
from tests.test_inspection import shaken, trained_lora
from tests.test_outside import dense as merged_deltas

LLAMA = MODELS["llama"]
STEPS = (5, 10, 100)  # by number, not as text


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("before") / "base"
    LLAMA.build().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=["lora", "neat"])
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict]]:
    """A folder with three checkpoints, and the ΔW of each."""
    folder, changes = tmp_path_factory.mktemp(request.param), []
    kinds = {"lora": LoraConfig(r=2, lora_alpha=3, target_modules=LLAMA.targets), "neat": NeatConfig(r=2)}
    kinds["neat"].target_modules = set(LLAMA.targets)
    with quiet_peft():
        model = get_peft_model(LLAMA.build(), kinds[request.param])
    for seed, step in enumerate(STEPS):
        shaken(model, seed).save_pretrained(folder / f"checkpoint-{step}")
        changes.append(merged_deltas(model))
    (folder / "runs").mkdir()
    return folder, changes


def cosine(a: Tensor, b: Tensor) -> float:
    return float((a * b).sum() / a.norm() / b.norm())


def test_each_layer_goes_the_way_that_its_weights_went(trained: tuple[Path, list[dict]], base: Path) -> None:
    folder, changes = trained
    trajectory = inspect_checkpoints(folder, base)
    assert trajectory.layers.keys() == changes[0].keys()
    for name, stages in trajectory.by_layer.items():
        first, middle, last = (change[name] for change in changes)
        wanted = [
            (5, first, first, math.nan),
            (10, middle, middle - first, cosine(middle, first)),
            (100, last, last - middle, cosine(last, middle)),
        ]
        for stage, (step, change, move, before) in zip(stages, wanted, strict=True):
            assert stage.step == step
            assert stage.norm == pytest.approx(float(change.norm()), rel=1e-3)
            assert stage.moved == pytest.approx(float(move.norm()), rel=1e-3)
            assert stage.cosine_before == pytest.approx(before, abs=1e-4, nan_ok=True)
            assert stage.cosine_last == pytest.approx(cosine(change, last), abs=1e-4)


def test_all_layers_together_are_one_vector(trained: tuple[Path, list[dict]], base: Path) -> None:
    folder, changes = trained
    stages = inspect_checkpoints(folder, base).stages
    vectors = [torch.cat([change.flatten() for change in one.values()]) for one in changes]
    assert [stage.norm for stage in stages] == pytest.approx([float(v.norm()) for v in vectors], rel=1e-3)
    assert stages[1].cosine_before == pytest.approx(cosine(vectors[1], vectors[0]), abs=1e-4)
    assert stages[0].cosine_last == pytest.approx(cosine(vectors[0], vectors[2]), abs=1e-4)
    assert stages[2].cosine_last == pytest.approx(1)


def test_its_spectra_are_those_of_each_checkpoint_and_are_drawn(trained: tuple[Path, list[dict]], base: Path) -> None:
    folder, _ = trained
    trajectory = inspect_checkpoints(folder, base)
    table = trajectory.spectra()
    for step, path in checkpoints(folder).items():
        for layer in inspect(path, base, directions=0).layers:
            (row,) = table[(table["step"] == step) & (table["layer"] == layer.name)]["singular_values"]
            assert list(row) == pytest.approx(layer.spectrum.singular_values.tolist(), rel=1e-4)
    assert len(trajectory.frame()) == len(STEPS) * len(trajectory.layers)
    assert plots.effective_rank(table).data


def test_whole_checkpoints_are_one_too(base: Path, tmp_path: Path) -> None:
    models = [shaken(LLAMA.build(), seed) for seed in (0, 1)]
    for step, model in enumerate(models, start=1):
        model.save_pretrained(tmp_path / f"checkpoint-{step}")
    trajectory = inspect_checkpoints(tmp_path, base)
    assert trajectory.method == "checkpoint"
    name = "model.layers.0.self_attn.q_proj"
    before, first, last = (m.get_submodule(name).weight.detach().double() for m in (LLAMA.build(), *models))
    stage = trajectory.by_layer[name][1]
    assert stage.moved == pytest.approx(float((last - first).norm()), rel=1e-5)
    assert stage.cosine_before == pytest.approx(cosine(last - before, first - before), abs=1e-5)


def test_the_command_opens_the_folder(
    trained: tuple[Path, list[dict]], base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _ = trained
    assert main(["inspect", str(folder), "--base", str(base)]) == 0
    said = capsys.readouterr().out
    assert "3 checkpoints, steps 5 to 100: ‖ΔW‖ from" in said
    assert "model.layers.0.self_attn.q_proj" in said
    assert main(["inspect", str(folder), "--base", str(base), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [stage["step"] for stage in document["stages"]] == [*STEPS]
    assert document["stages"][0]["cosine_before"] is None
    assert main(["inspect", str(folder), "--base", str(base), "--report", str(folder / "x.html")]) == 2
    assert f"give {folder}/checkpoint-…" in capsys.readouterr().err


def test_what_is_no_trajectory_is_one_line(tmp_path: Path) -> None:
    assert checkpoints(trained_lora(tmp_path / "adapter")) == {}
    trained_lora(tmp_path / "one" / "checkpoint-1")
    with pytest.raises(BadInput, match=r"holds 1 checkpoints .* takes two or more"):
        inspect_checkpoints(tmp_path / "one")
    trained_lora(tmp_path / "one" / "checkpoint-2", tiny=MODELS["bert"])
    with pytest.raises(BadInput, match="checkpoint-1 and the last checkpoint are not of one training: layer"):
        inspect_checkpoints(tmp_path / "one")


def test_layers_without_a_change_have_no_direction(tmp_path: Path) -> None:
    for step in (1, 2):
        with quiet_peft():
            model = get_peft_model(LLAMA.build(), LoraConfig(r=2, target_modules=LLAMA.targets))
        model.save_pretrained(tmp_path / f"checkpoint-{step}")
    trajectory = inspect_checkpoints(tmp_path)
    assert all(stage.norm == 0 and math.isnan(stage.cosine_last) for stage in trajectory.stages)
    assert "‖ΔW‖ from 0 to 0" in trajectory.verdict()[0]
