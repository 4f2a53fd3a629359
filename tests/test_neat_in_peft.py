"""NEAT as a PEFT method: what PEFT does with every tuner, it does with ours."""

import subprocess
import sys

import pytest
import torch
from accelerate import cpu_offload
from peft import LoraConfig, PeftModel, get_model_status, get_peft_model, inject_adapter_in_model
from torch import nn
from transformers import RobertaConfig, RobertaForSequenceClassification, ViTConfig, ViTForImageClassification

import neatlab
from neatlab.adapters.attach import quiet_peft, tuner_layers
from neatlab.adapters.convert import neat_to_lora
from neatlab.adapters.neat import NeatConfig, NeatLinear
from neatlab.adapters.neat.hidden import activation_names
from neatlab.adapters.presets import PRESETS, preset
from neatlab.errors import BadInput
from tests.models import MODELS, Tiny

VIT, BERT, LLAMA = MODELS["vit"], MODELS["bert"], MODELS["llama"]
SETTINGS = {"r": 3, "init_weights": False}


def neat(tiny: Tiny = VIT, adapter_name: str = "default", **settings) -> PeftModel:
    """A model whose NEAT adapter changes the output from the start."""
    config = NeatConfig(**{**SETTINGS, "target_modules": tiny.targets, **settings})
    with quiet_peft():
        return get_peft_model(tiny.build(), config, adapter_name=adapter_name).eval()


def adapted(model: nn.Module) -> list[str]:
    return [name for name, layer in tuner_layers(model) if isinstance(layer, NeatLinear)]


def reload(tiny: Tiny, folder, **options) -> PeftModel:
    with quiet_peft():
        return PeftModel.from_pretrained(tiny.build(), folder, **options).eval()


@pytest.mark.parametrize("name", ["default", "style_1", "0", "weight", "neat_theta", "Größe"])
def test_adapter_names(name, tmp_path):
    model = neat(adapter_name=name, depth=4)
    model.save_pretrained(tmp_path)
    folder = tmp_path if name == "default" else tmp_path / name
    for loaded_as in (name, "other"):
        loaded = reload(VIT, folder, adapter_name=loaded_as)
        assert torch.equal(VIT.logits(loaded), VIT.logits(model))


def test_saved_names_do_not_hold_the_adapters():
    from peft import get_peft_model_state_dict

    model = neat(adapter_name="mine", target_modules=["fc1"], layers_to_transform=[0], depth=4, activation="prelu")
    prefix = "base_model.model.vit.layers.0.mlp.fc1"
    expected = {f"{prefix}.neat_theta.{i}" for i in range(4)} | {f"{prefix}.neat_activation.weight"}
    assert set(get_peft_model_state_dict(model, adapter_name="mine")) == expected


@pytest.mark.parametrize("tiny", MODELS.values(), ids=MODELS)
def test_modules_to_save_train_and_are_saved(tiny, tmp_path):
    model = neat(tiny, modules_to_save=tiny.head)
    head = [p for n, p in model.named_parameters() if "modules_to_save" in n]
    assert head
    assert all(p.requires_grad for p in head)
    with torch.no_grad():
        for parameter in head:
            parameter.add_(1.0)
    model.save_pretrained(tmp_path, save_embedding_layers=False)
    assert torch.allclose(tiny.logits(reload(tiny, tmp_path)), tiny.logits(model), atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"target_modules": ["fc1"]}, ["layers.0.mlp.fc1", "layers.1.mlp.fc1"]),
        ({"target_modules": ["fc1"], "layers_to_transform": [1]}, ["layers.1.mlp.fc1"]),
        ({"target_modules": ["fc1"], "layers_to_transform": 0, "layers_pattern": "layers"}, ["layers.0.mlp.fc1"]),
        (
            {"target_modules": r".*layers\.1\.attention\.(q|v)_proj"},
            ["layers.1.attention.q_proj", "layers.1.attention.v_proj"],
        ),
        ({"target_modules": ["fc1", "fc2"], "exclude_modules": ["fc2"]}, ["layers.0.mlp.fc1", "layers.1.mlp.fc1"]),
        ({"target_modules": ["fc1"], "exclude_modules": r".*layers\.0.*"}, ["layers.1.mlp.fc1"]),
        ({"target_modules": ["vit.layers.0.mlp.fc2"]}, ["layers.0.mlp.fc2"]),
    ],
    ids=str,
)
def test_targets(settings, expected, tmp_path):
    model = neat(**settings)
    assert adapted(model) == [f"vit.{name}" for name in expected]
    model.save_pretrained(tmp_path)
    loaded = reload(VIT, tmp_path)
    assert adapted(loaded) == adapted(model)
    assert torch.equal(VIT.logits(loaded), VIT.logits(model))


def test_all_linear_means_what_it_means_for_lora():
    with quiet_peft():
        lora = get_peft_model(LLAMA.build(), LoraConfig(target_modules="all-linear"))
    names = adapted(neat(LLAMA, target_modules="all-linear"))
    assert names == [name for name, _ in tuner_layers(lora)]
    assert "lm_head" not in names


ORDERS = {
    "neatlab alone": "import neatlab; from peft import PeftConfig",
    "neatlab first": "import neatlab, peft; from peft import PeftConfig",
    "peft first": "import peft, neatlab; from peft import PeftConfig",
    "the method alone": "import neatlab.adapters.neat; from peft import PeftConfig",
    "transformers asks for peft": "import neatlab, transformers; assert transformers.utils.is_peft_available();"
    "from peft import PeftConfig",
    "peft by its part": "import neatlab, peft.mapping; from peft import PeftConfig",
}


# What all of them import besides, once; then each order in a process forked from this one.
IN_TURN = """
import accelerate, os, sklearn, sys, torch._dynamo, torch.distributed.tensor
assert not {"neatlab", "peft", "transformers"} & set(sys.modules)
for code in sys.argv[2:]:
    if not os.fork():
        exec(code)
        print(type(PeftConfig.from_pretrained(sys.argv[1])).__name__, flush=True)
        os._exit(0)
    os.wait()
"""


@pytest.mark.process
def test_peft_knows_the_method_once_both_are_imported(tmp_path):
    neat().save_pretrained(tmp_path)
    command = [sys.executable, "-c", IN_TURN, tmp_path, *ORDERS.values()]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout.split() == ["NeatConfig"] * len(ORDERS), done.stderr


@pytest.mark.parametrize("name", ["default", "style"])
def test_the_saved_model_card_says_how_it_is_loaded(name, tmp_path):
    model = neat(adapter_name=name)
    for _ in range(2):
        model.save_pretrained(tmp_path)
    card = (tmp_path / "README.md").read_text()
    assert card.count("## Loading this NEAT adapter") == 1
    for said in (
        "import neatlab",
        "PeftModel.from_pretrained",
        f"saved with {neatlab.__version__}",
        "arXiv:2410.01870",
    ):
        assert said in card


def test_default_targets_come_from_the_architecture():
    model = get_peft_model(LLAMA.build(), NeatConfig(r=2))
    assert {name.split(".")[-1] for name in adapted(model)} == {"q_proj", "v_proj"}


def test_targets_that_do_not_exist_are_refused():
    with pytest.raises(ValueError, match="not found"):
        neat(target_modules=["nothing"])


def deltas(model: nn.Module, adapter: str) -> dict[str, torch.Tensor]:
    with torch.no_grad():
        return {n: layer.factors(adapter).dense() for n, layer in tuner_layers(model) if adapter in layer.neat_theta}


def two() -> PeftModel:
    """Two adapters of different shape, partly on the same layers."""
    model = neat(target_modules=["fc1", "fc2"], adapter_name="one")
    model.add_adapter("two", NeatConfig(**SETTINGS, depth=4, activation="gelu", target_modules=["fc2", "q_proj"]))
    return model


def test_set_adapter_switches_the_output_and_what_trains():
    model, base = two(), VIT.logits(VIT.build())
    outputs = {}
    for name in ("one", "two"):
        model.set_adapter(name)
        outputs[name] = VIT.logits(model)
        trained = {n for n, p in model.named_parameters() if p.requires_grad}
        assert trained
        assert all(f".{name}." in parameter for parameter in trained)
    assert not torch.allclose(outputs["one"], outputs["two"], atol=1e-3)
    with model.disable_adapter():
        assert torch.allclose(VIT.logits(model), base, atol=1e-6)
    assert torch.equal(VIT.logits(model), outputs["two"])


def test_active_adapters_add_up():
    model = two()
    model.base_model.set_adapter(["one", "two"])
    expected = VIT.build()
    with torch.no_grad():
        for name in ("one", "two"):
            for layer, delta in deltas(model, name).items():
                expected.get_submodule(layer).weight += delta
    assert torch.allclose(VIT.logits(model), VIT.logits(expected), atol=1e-5)


def test_delete_adapter():
    model = two()
    model.set_adapter("two")
    expected = VIT.logits(model)
    model.delete_adapter("one")
    assert list(model.peft_config) == ["two"]
    assert torch.equal(VIT.logits(model), expected)
    for _, layer in tuner_layers(model):
        held = [layer.neat_theta, layer.neat_activation, layer.neat_config, layer.neat_memo]
        assert all("one" not in part for part in held)


def test_load_adapter_beside_another(tmp_path):
    other = neat(depth=6, orientation="in", target_modules=["fc1"])
    other.save_pretrained(tmp_path)
    model = neat()
    before = VIT.logits(model)
    model.load_adapter(tmp_path, "second")
    assert torch.equal(VIT.logits(model), before)
    model.set_adapter("second")
    assert torch.equal(VIT.logits(model), VIT.logits(other))


@pytest.mark.parametrize("activation", ["relu", "sin", "prelu", "xielu"])
def test_low_cpu_mem_usage(activation, tmp_path):
    model = neat(LLAMA, depth=4, activation=activation)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "neat_activation" in name:
                parameter += 0.1
    model.save_pretrained(tmp_path)
    for options in ({}, {"low_cpu_mem_usage": True}):
        loaded = reload(LLAMA, tmp_path, **options)
        assert not any(tensor.is_meta for tensor in [*loaded.parameters(), *loaded.buffers()])
        assert torch.equal(LLAMA.logits(loaded), LLAMA.logits(model))
    second = neat(LLAMA)
    second.load_adapter(tmp_path, "second", low_cpu_mem_usage=True)
    second.set_adapter("second")
    assert torch.equal(LLAMA.logits(second), LLAMA.logits(model))


@pytest.mark.parametrize("settings", [{}, {"depth": 4, "activation": "prelu", "orientation": "in"}])
def test_weights_that_accelerate_offloads_are_brought_in(settings):
    model = neat(LLAMA, **settings)
    wanted = LLAMA.logits(model)
    cpu_offload(model, execution_device=torch.device("cpu"))
    layer = next(layer for _, layer in tuner_layers(model))
    assert layer.base_layer.weight.is_meta
    for _ in range(2):
        assert torch.allclose(LLAMA.logits(model), wanted, atol=1e-6)
    assert layer.base_layer.weight.is_meta and all(theta.is_meta for theta in layer.thetas("default"))


def test_adapters_are_made_on_the_meta_device_when_asked():
    config = NeatConfig(**SETTINGS, target_modules=VIT.targets)
    with quiet_peft():
        model = get_peft_model(VIT.build(), config, low_cpu_mem_usage=True)
    assert all(p.is_meta == ("neat_" in name) for name, p in model.named_parameters())


def test_a_model_on_the_meta_device_can_be_adapted():
    with torch.device("meta"):
        base = ViTForImageClassification(ViTConfig())
    model = get_peft_model(base, preset("vit-qv"))
    assert all(p.is_meta for p in model.parameters())


@pytest.mark.parametrize("activation", activation_names())
def test_every_activation_is_saved_and_loaded(activation, tmp_path):
    model = neat(depth=4, activation=activation, target_modules=["fc1"], layers_to_transform=[0])
    model.save_pretrained(tmp_path)
    loaded = reload(VIT, tmp_path, low_cpu_mem_usage=True)
    assert torch.equal(VIT.logits(loaded), VIT.logits(model))


def test_adding_an_adapter_does_not_make_it_train():
    model = neat()
    model.add_adapter("second", NeatConfig(r=2, target_modules=["fc1"]))
    assert not any(p.requires_grad for n, p in model.named_parameters() if ".second." in n)
    assert get_model_status(model).active_adapters == ["default"]


def test_inference_adapters_do_not_train(tmp_path):
    neat().save_pretrained(tmp_path)
    assert not any(p.requires_grad for p in reload(VIT, tmp_path).parameters())
    assert any(p.requires_grad for p in reload(VIT, tmp_path, is_trainable=True).parameters())


def test_injection_without_a_peft_model():
    config = NeatConfig(**SETTINGS, target_modules=VIT.targets)
    model = inject_adapter_in_model(config, VIT.build())
    assert adapted(model)
    assert not torch.allclose(VIT.logits(model), VIT.logits(VIT.build()), atol=1e-3)


def test_unload_gives_the_base_back_and_merge_and_unload_the_sum():
    model = neat()
    expected = VIT.logits(model)
    assert torch.allclose(VIT.logits(model.merge_and_unload()), expected, atol=1e-5)
    assert torch.equal(VIT.logits(neat().unload()), VIT.logits(VIT.build()))


def test_transformers_loads_and_deletes_it_without_a_peft_model(tmp_path):
    model = neat(depth=4)
    model.save_pretrained(tmp_path)
    plain = VIT.build()
    plain.load_adapter(str(tmp_path))
    assert torch.allclose(VIT.logits(plain), VIT.logits(model), atol=1e-6)
    plain.disable_adapters()
    assert torch.allclose(VIT.logits(plain), VIT.logits(VIT.build()), atol=1e-6)
    plain.delete_adapter("default")
    assert not any("neat_" in name for name, _ in plain.named_parameters())


@pytest.mark.parametrize(
    ("name", "build", "count"),
    [
        ("neat-l", RobertaForSequenceClassification, 24 * 2 * 8 * 768),
        ("neat-s", RobertaForSequenceClassification, 16 * 2 * 1 * 768),
        ("vit-qv", ViTForImageClassification, 24 * 2 * 7 * 768),
        ("vit-qv-mlp", ViTForImageClassification, 24 * 2 * 7 * 768 + 12 * 2 * 7 * (3072 + 768)),
    ],
)
def test_presets_have_the_papers_parameter_counts(name, build, count):
    sizes = {RobertaForSequenceClassification: RobertaConfig, ViTForImageClassification: ViTConfig}
    with torch.device("meta"):
        base = build(sizes[build]())  # both default to the base size
    model = get_peft_model(base, preset(name))
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == count


def test_presets_take_changes_and_are_never_shared():
    changed = preset("neat-s", scaling=0.01, modules_to_save=["classifier"])
    assert (changed.r, changed.scaling, changed.layers_to_transform) == (1, 0.01, list(range(4, 12)))
    changed.layers_to_transform.clear()
    assert PRESETS["neat-s"]["layers_to_transform"] == list(range(4, 12))
    assert preset("llm").orientation == "in"
    with pytest.raises(BadInput, match=r"unknown preset 'neat-x'.*neat-l"):
        preset("neat-x")


def test_rows_of_new_tokens_train_beside_it_and_are_saved(tmp_path):
    llama = MODELS["llama"]
    config = {"target_modules": llama.targets, "init_weights": False, "trainable_token_indices": [3, 5]}
    with quiet_peft():
        model = get_peft_model(llama.build(), NeatConfig(r=3, task_type="CAUSAL_LM", **config))
    before = model.get_input_embeddings()(torch.arange(8)).detach().clone()
    optimiser = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0)
    model.train()(input_ids=torch.arange(8)[None], labels=torch.arange(8)[None]).loss.backward()
    optimiser.step()
    changed = (model.get_input_embeddings()(torch.arange(8)) != before).any(dim=1)
    assert changed.nonzero().flatten().tolist() == [3, 5]
    model.save_pretrained(tmp_path)
    neat_to_lora(model, tmp_path / "lora")
    batch = {"input_ids": torch.arange(8)[None]}
    for folder in (tmp_path, tmp_path / "lora"):
        with quiet_peft():
            again = PeftModel.from_pretrained(llama.build(), folder)
        assert torch.allclose(again(**batch).logits, model.eval()(**batch).logits, atol=1e-5)
