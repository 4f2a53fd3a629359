"""Adapters carried elsewhere give the same outputs there; what cannot be carried is refused by name."""

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, PeanutConfig, PeftModel, get_peft_model
from torch import nn
from transformers import AutoModelForCausalLM, AutoModelForImageClassification

from neatlab.adapters.attach import quiet_peft
from neatlab.adapters.convert import (
    lora_to_neat,
    merge_to_folder,
    neat_to_lora,
    neat_to_peanut,
    peanut_to_neat,
)
from neatlab.adapters.forms import FORMS
from neatlab.adapters.methods import METHODS
from neatlab.adapters.neat import NeatConfig
from neatlab.config import make_arm, make_run
from neatlab.errors import BadInput, StoreError
from neatlab.experiments.execute import execute, make_task
from neatlab.experiments.trained import load_trained
from neatlab.export.adapters import export
from neatlab.export.snippet import snippet
from neatlab.runs.run import read_run
from neatlab.runs.store import Store
from tests.models import GPT2, MODELS, Tiny

VIT, LLAMA = MODELS["vit"], MODELS["llama"]

PLAIN_PEFT = """
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "neatlab":
            raise ImportError("neatlab is not installed here")

sys.meta_path.insert(0, Block())
import torch, transformers
from peft import PeftModel
from safetensors.torch import load_file, save_file

torch.set_num_threads(1)
for kind, folder in zip(sys.argv[1::2], sys.argv[2::2]):
    base = getattr(transformers, kind).from_pretrained(folder + "/base")
    model = PeftModel.from_pretrained(base, folder + "/lora").eval()
    with torch.no_grad():
        logits = model(**load_file(folder + "/inputs.safetensors")).logits
    save_file({"logits": logits}, folder + "/logits.safetensors")
assert not any(name.startswith("neatlab") for name in sys.modules)
"""


class Net(nn.Module):
    """One linear layer; anything can be adapted on it."""

    def __init__(self, d_in: int = 12, d_out: int = 20) -> None:
        super().__init__()
        self.lin = nn.Linear(d_in, d_out)
        self.head = nn.Linear(d_out, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.tanh(self.lin(x)))


def wrap(model: nn.Module, config, **fields) -> PeftModel:
    """A PEFT model whose trainable parameters are all drawn anew, as if trained."""
    for name, value in fields.items():
        setattr(config, name, value)
    with quiet_peft():
        wrapped = get_peft_model(model, config)
    with torch.no_grad():
        for parameter in wrapped.parameters():
            if parameter.requires_grad:
                parameter.add_(0.2 * torch.randn_like(parameter))
    return wrapped.eval()


def neat(tiny: Tiny, build=None, **settings) -> PeftModel:
    config = NeatConfig(**{"r": 3, "target_modules": tiny.targets, "modules_to_save": tiny.head or None, **settings})
    return wrap((build or tiny.build)(), config)


def load(model: nn.Module, folder) -> PeftModel:
    with quiet_peft():
        return PeftModel.from_pretrained(model, folder).eval()


def saved(model: PeftModel, folder) -> dict:
    return json.loads((Path(folder) / "adapter_config.json").read_text())


def off_by(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).abs().max())


# NEAT → LoRA


def save_for_plain_peft(folder: Path, base: nn.Module, inputs: dict) -> None:
    from safetensors.torch import save_file

    base.save_pretrained(folder / "base")
    save_file(inputs, folder / "inputs.safetensors")


def logits_without_neatlab(kinds: dict[str, Path]) -> list[torch.Tensor]:
    """Of one process for all: class of transformers → folder with `base`, `lora` and `inputs.safetensors`."""
    from safetensors.torch import load_file

    words = [str(word) for pair in kinds.items() for word in pair]
    command = [sys.executable, "-I", "-W", "ignore", "-c", PLAIN_PEFT, *words]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "HF_HUB_OFFLINE": "1"})
    assert done.returncode == 0, done.stderr
    return [load_file(folder / "logits.safetensors")["logits"] for folder in kinds.values()]


@pytest.fixture(scope="module")
def digits_run(tmp_path_factory):
    """A NEAT adapter trained on digits for a few steps, depth 4."""
    arm = make_arm("neat", {"rank": 4, "depth": 4, "activation": "gelu", "scaling": 0.5})
    return train_run("digits", arm, tmp_path_factory.mktemp("runs"), steps=6)


def train_run(task: str, arm, folder: Path, steps: int = 3, **task_options):
    config = make_run(task, arm, 0, task_options, {"steps": steps})
    store = Store(folder)
    for _ in execute(config, store):
        pass
    return store.get(config.run_id)


def test_the_readme_of_an_export_says_what_it_is_and_its_script_is_that_of_the_run(digits_run, tmp_path):
    scores = f"{digits_run.summary['metric']:.4f}"
    for form, line in {
        "neat": "import neatlab  # registers",
        "lora": "Plain PEFT loads it",
        "merged": 'from_pretrained("this folder")',
    }.items():
        export(digits_run, form, tmp_path / form)
        card = (tmp_path / form / "README.md").read_text(encoding="utf-8")
        assert line in card and digits_run.run_id in card and scores in card
        assert "[More Information Needed]" not in card and str(tmp_path) not in card
        fenced = card.split("```python\n")
        assert fenced[2].partition("\n```")[0] == snippet(digits_run).rstrip()
        head = yaml.safe_load(card.split("---\n")[1])
        assert head["library_name"] == ("transformers" if form == "merged" else "peft")


@pytest.mark.process
def test_exported_runs_and_models_give_the_same_logits_in_plain_peft(digits_run, tmp_path):
    digits, llama = tmp_path / "digits", tmp_path / "llama"
    task, adapted = make_task(digits_run.config), load_trained(digits_run)
    pixels = task.split("test")["pixels"][:64]
    adapted.model.eval()
    with torch.no_grad():
        expected, base = adapted.model(pixel_values=pixels).logits, task.base_model().eval()(pixel_values=pixels).logits
    assert export(digits_run, "lora", digits / "lora") == {}
    save_for_plain_peft(digits, task.base_model(), {"pixel_values": pixels})

    model = neat(LLAMA, depth=4, activation="silu", orientation="auto")
    neat_to_lora(model, llama / "lora")
    save_for_plain_peft(llama, LLAMA.build(), {"input_ids": LLAMA.batch["input_ids"]})

    kinds = {"AutoModelForImageClassification": digits, "AutoModelForCausalLM": llama}
    of_digits, of_llama = logits_without_neatlab(kinds)
    assert off_by(expected, base) > 0.1
    assert off_by(of_digits, expected) <= 1e-5
    assert off_by(of_llama, LLAMA.logits(model)) <= 1e-5


@pytest.mark.parametrize(
    "variant",
    [
        {"depth": 2},
        {"depth": 6, "activation": "tanh"},
        {"depth": 3, "residual": "none", "orientation": "in"},
        {"conditioning": "none", "activation": "sin", "frequency": 3.0},
        {"activation": "prelu", "scaling": -0.3},
        {"layers_to_transform": [1]},
    ],
    ids=lambda v: "-".join(map(str, v)),
)
@pytest.mark.parametrize("tiny", [*MODELS.values(), GPT2], ids=[*MODELS, "gpt2"])
def test_lora_export_is_exact(tiny, variant, tmp_path):
    model = neat(tiny, **variant)
    neat_to_lora(model, tmp_path / "lora")
    loaded = load(tiny.build(), tmp_path / "lora")
    assert saved(model, tmp_path / "lora")["peft_type"] == "LORA"
    assert off_by(tiny.logits(loaded), tiny.logits(model)) <= 1e-5
    assert off_by(tiny.logits(model), tiny.logits(tiny.build())) > 1e-2


def test_lora_export_of_a_bfloat16_base(tmp_path):
    def build() -> nn.Module:
        return LLAMA.build().to(torch.bfloat16)

    model = neat(LLAMA, build, depth=4)
    neat_to_lora(model, tmp_path / "lora")
    loaded = load(build(), tmp_path / "lora")
    expected, found = LLAMA.logits(model), LLAMA.logits(loaded)
    assert expected.dtype == torch.bfloat16
    assert off_by(found.float(), expected.float()) <= 0.02 * float(expected.float().abs().max())
    weights = [dict(m.merge_and_unload().named_parameters()) for m in (copy.deepcopy(model), loaded)]
    assert all(torch.allclose(weights[0][n], weights[1][n], atol=1e-2) for n in weights[0])


def test_export_leaves_the_model_alone_and_takes_one_adapter_of_several(tmp_path):
    model = neat(VIT)
    model.add_adapter("second", NeatConfig(r=2, depth=4, init_weights=False, target_modules=VIT.targets))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    neat_to_lora(model, tmp_path / "lora", "second")
    assert model.active_adapters == ["default"]
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    model.set_adapter("second")
    assert off_by(VIT.logits(load(VIT.build(), tmp_path / "lora")), VIT.logits(model)) <= 1e-5


def test_export_of_a_merged_adapter_uses_the_weight_before_the_merge(tmp_path):
    model = neat(VIT, depth=4)
    expected = VIT.logits(model)
    model.merge_adapter()
    neat_to_lora(model, tmp_path / "lora")
    assert off_by(VIT.logits(load(VIT.build(), tmp_path / "lora")), expected) <= 1e-5


def test_targets_are_named_in_full_where_their_last_parts_name_others_too(tmp_path):
    model = neat(LLAMA, target_modules=["layers.0.self_attn.q_proj"], modules_to_save=None)
    neat_to_lora(model, tmp_path / "one")
    assert saved(model, tmp_path / "one")["target_modules"] == ["model.layers.0.self_attn.q_proj"]
    neat_to_lora(neat(LLAMA, modules_to_save=None), tmp_path / "all")
    assert sorted(saved(model, tmp_path / "all")["target_modules"]) == sorted(LLAMA.targets)
    assert off_by(LLAMA.logits(load(LLAMA.build(), tmp_path / "one")), LLAMA.logits(model)) <= 1e-5


# NEAT ⇄ PEANuT


@pytest.mark.parametrize("depth", [2, 4, 6])
@pytest.mark.parametrize("tiny", MODELS.values(), ids=MODELS)
def test_neat_to_peanut_and_back(tiny, depth, tmp_path):
    model = neat(tiny, depth=depth, activation="gelu", scaling=0.5)
    neat_to_peanut(model, tmp_path / "peanut")
    peanut = load(tiny.build(), tmp_path / "peanut")
    peanut_to_neat(peanut, tmp_path / "neat")
    back = load(tiny.build(), tmp_path / "neat")
    assert saved(model, tmp_path / "peanut")["depth"] == (depth - 2) // 2
    assert saved(model, tmp_path / "neat")["depth"] == depth
    assert off_by(tiny.logits(peanut), tiny.logits(model)) <= 1e-5
    assert off_by(tiny.logits(back), tiny.logits(model)) <= 1e-5


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_peanut_to_neat(depth, tmp_path):
    config = PeanutConfig(r=3, depth=depth, act_fn="tanh", scaling=2.0, target_modules=VIT.targets)
    model = wrap(VIT.build(), config, modules_to_save=VIT.head)
    peanut_to_neat(model, tmp_path / "neat")
    assert off_by(VIT.logits(load(VIT.build(), tmp_path / "neat")), VIT.logits(model)) <= 1e-5


def test_depth_two_has_no_residuals_to_differ_in(tmp_path):
    model = neat(VIT, depth=2, residual="none")
    neat_to_peanut(model, tmp_path / "peanut")
    assert off_by(VIT.logits(load(VIT.build(), tmp_path / "peanut")), VIT.logits(model)) <= 1e-5


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"conditioning": "none"}, "conditioning='none'"),
        ({"depth": 4, "residual": "none"}, "residual='none'"),
        ({"depth": 3, "residual": "none"}, "depth=3"),
        ({"orientation": "in"}, "orientation='in'"),
        ({"orientation": "auto"}, "orientation='auto' .*mlp.fc1"),
        ({"activation": "sin"}, "activation='sin'"),
        ({"activation": "prelu"}, "activation='prelu' learns parameters"),
    ],
)
def test_what_peanut_cannot_express_is_refused_by_name(settings, named, tmp_path):
    with pytest.raises(BadInput, match=named):
        neat_to_peanut(neat(VIT, **settings), tmp_path / "peanut")
    assert not list(tmp_path.iterdir())


def test_peanut_has_no_conv1d(tmp_path):
    with pytest.raises(BadInput, match="Conv1D"):
        neat_to_peanut(neat(GPT2), tmp_path / "peanut")


# LoRA → NEAT


@settings(max_examples=25)
@given(rank=st.integers(1, 5), d_in=st.integers(10, 24), extra=st.integers(4, 24), seed=st.integers(0, 2**16))
def test_lora_to_neat_is_exact_where_the_weight_has_full_row_rank(rank, d_in, extra, seed, tmp_path_factory):
    torch.manual_seed(seed)
    for orientation, shape in (("out", (d_in, d_in + extra)), ("in", (d_in + extra, d_in))):
        folder = tmp_path_factory.mktemp("lora") / "neat"
        model = wrap(Net(*shape), LoraConfig(r=rank, lora_alpha=3 * rank, target_modules=["lin"]))
        base, x = copy.deepcopy(model).unload(), torch.randn(5, shape[0])
        errors = lora_to_neat(model, folder, orientation=orientation)
        neat = load(base, folder)
        assert neat.peft_config["default"].r == 2 * rank
        assert set(errors) == {"lin"}
        assert errors["lin"] <= 1e-5
        with torch.no_grad():
            assert off_by(neat(x), model(x)) <= 1e-4


def test_lora_to_neat_reports_what_it_leaves_where_it_cannot_be_exact(tmp_path):
    model = wrap(Net(24, 12), LoraConfig(r=2, target_modules=["lin"]))
    base = copy.deepcopy(model).unload()
    error = lora_to_neat(model, tmp_path / "neat")["lin"]
    expected = model.base_model.model.lin.get_delta_weight("default").detach()
    found = load(base, tmp_path / "neat").base_model.model.lin.get_delta_weight("default").detach()
    assert error > 0.1
    assert error == pytest.approx(float((found - expected).norm() / expected.norm()), rel=1e-4)


@pytest.mark.parametrize("tiny", [*MODELS.values(), GPT2], ids=[*MODELS, "gpt2"])
def test_lora_to_neat_on_whole_models(tiny, tmp_path):
    wide = {"vit": ["fc1"], "bert": ["intermediate.dense"], "llama": ["up_proj"], "gpt2": ["c_attn"]}
    targets = next(wide[name] for name, one in [*MODELS.items(), ("gpt2", GPT2)] if one is tiny)
    config = LoraConfig(r=3, lora_alpha=2, use_rslora=True, target_modules=targets, fan_in_fan_out=tiny is GPT2)
    model = wrap(tiny.build(), config, modules_to_save=tiny.head or None)
    errors = lora_to_neat(model, tmp_path / "neat")
    assert max(errors.values()) <= 1e-5
    assert off_by(tiny.logits(load(tiny.build(), tmp_path / "neat")), tiny.logits(model)) <= 1e-4


def test_layers_of_lower_rank_are_filled_up(tmp_path):
    config = LoraConfig(r=3, rank_pattern={"fc2": 1}, target_modules=["fc1", "fc2"], lora_alpha=3)
    model = wrap(VIT.build(), config)
    errors = lora_to_neat(model, tmp_path / "neat", orientation="in")
    loaded = load(VIT.build(), tmp_path / "neat")
    assert loaded.peft_config["default"].r == 6
    assert all((error <= 1e-5) == name.endswith("fc2") for name, error in errors.items())


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"use_dora": True}, "use_dora"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights='pissa'"),
        ({"lora_bias": True}, "lora_bias"),
        ({"r": 7}, "no room for 14 hidden units"),
    ],
)
def test_lora_that_neat_cannot_hold_is_refused_by_name(settings, named, tmp_path):
    model = wrap(Net(), LoraConfig(**{"r": 2, "target_modules": ["lin"], **settings}))
    with pytest.raises(BadInput, match=named):
        lora_to_neat(model, tmp_path / "neat")


def test_a_merged_lora_is_refused(tmp_path):
    model = wrap(Net(), LoraConfig(r=2, target_modules=["lin"]))
    model.merge_adapter()
    with pytest.raises(BadInput, match="unmerge_adapter"):
        lora_to_neat(model, tmp_path / "neat")


# Merged weights


@pytest.mark.parametrize(
    ("tiny", "auto"), [(VIT, AutoModelForImageClassification), (LLAMA, AutoModelForCausalLM)], ids=["vit", "llama"]
)
def test_merged_folder_loads_with_transformers(tiny, auto, tmp_path):
    model = neat(tiny, depth=4)
    expected = tiny.logits(model)
    merge_to_folder(model, tmp_path / "merged")
    assert off_by(tiny.logits(auto.from_pretrained(tmp_path / "merged")), expected) <= 1e-5
    assert off_by(tiny.logits(model), expected) == 0
    assert not list((tmp_path / "merged").glob("adapter*"))
    assert list((tmp_path / "merged").glob("*.safetensors"))


def test_merged_weights_need_a_transformers_model(tmp_path):
    with pytest.raises(BadInput, match="not a Net"):
        merge_to_folder(wrap(Net(), LoraConfig(r=2, target_modules=["lin"])), tmp_path / "merged")
    assert not list(tmp_path.iterdir())


# Folders


def test_wrong_adapters_are_refused_by_name(tmp_path):
    model = neat(VIT)
    with pytest.raises(BadInput, match=r"unknown adapter 'defualt'.*did you mean 'default'"):
        neat_to_lora(model, tmp_path / "lora", "defualt")
    with pytest.raises(BadInput, match="of type NEAT; this conversion takes LORA"):
        lora_to_neat(model, tmp_path / "neat")


def test_nothing_is_overwritten_and_nothing_is_left_half_written(tmp_path, monkeypatch):
    model, taken = neat(VIT), tmp_path / "taken"
    taken.mkdir()
    neat_to_lora(model, taken)  # an empty folder is free
    with pytest.raises(BadInput, match="is not empty"):
        neat_to_lora(model, taken)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(BadInput, match="is a file"):
        neat_to_lora(model, tmp_path / "file")
    with pytest.raises(BadInput, match="cannot be written"):
        neat_to_lora(model, tmp_path / "file" / "below")

    def full_disk(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("neatlab.adapters.folders.save_file", full_disk)
    with pytest.raises(BadInput, match="No space left on device"):
        neat_to_lora(model, tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "taken"]


# Runs


@pytest.mark.parametrize("method", METHODS)
def test_runs_export_to_every_form_or_say_why_not(method, tmp_path):
    options = {"rank": 2} if "rank" in METHODS[method].options.model_fields else {}
    run = train_run("digits", make_arm(method, options), tmp_path / "runs")
    task, adapted = make_task(run.config), load_trained(run)
    inputs = {"pixel_values": task.split("validation")["pixels"][:16]}
    adapted.model.eval()
    with torch.no_grad():
        expected = adapted.model(**inputs).logits
    for form in FORMS:
        if form not in METHODS[method].forms:
            with pytest.raises(BadInput, match=f"a {method} run .*merged"):
                export(run, form, tmp_path / form)
            continue
        errors = export(run, form, tmp_path / form)
        if form == "merged":
            model = AutoModelForImageClassification.from_pretrained(tmp_path / form).eval()
        else:
            model = load(task.base_model(), tmp_path / form)
        with torch.no_grad():
            assert off_by(model(**inputs).logits, expected) <= 1e-5 + 10 * max(errors.values(), default=0)


def test_runs_that_have_nothing_to_export(digits_run, tmp_path):
    with pytest.raises(BadInput, match=r"unknown format 'lorra'.*did you mean 'lora'"):
        export(digits_run, "lorra", tmp_path / "out")
    teacher = train_run("teacher", make_arm("neat", {"rank": 2}), tmp_path / "runs", samples=200)
    with pytest.raises(BadInput, match="LinearStack"):
        export(teacher, "merged", tmp_path / "out")
    weights = teacher.path / "adapter" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    with pytest.raises(StoreError, match="adapter cannot be read"):
        export(teacher, "neat", tmp_path / "out")
    (teacher.path / "summary.json").unlink()
    with pytest.raises(BadInput, match=f"run {teacher.run_id} is unfinished"):
        export(read_run(teacher.path), "neat", tmp_path / "out")
    assert not (tmp_path / "out").exists()
