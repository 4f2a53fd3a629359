"""Several adapters in one NEAT model: a batch with one for each row, sums, ranks and scalings of their own."""

from contextlib import nullcontext

import pytest
import torch
from peft import PeftModel, get_peft_model
from torch import nn
from transformers import MixtralConfig, MixtralForCausalLM

from neatlab.adapters.attach import quiet_peft, tuner_layers
from neatlab.adapters.convert import neat_to_lora, neat_to_peanut
from neatlab.adapters.neat import NeatConfig
from neatlab.errors import BadInput
from neatlab.inspection import inspect
from tests.models import MODELS
from tests.test_neat import D_IN, D_OUT, Net, adapted, fill

LLAMA, BERT = MODELS["llama"], MODELS["bert"]


def two(tiny=LLAMA, **settings):
    """A model with adapters "a" and "b", both changing the output, "a" active."""
    config = {"r": 3, "init_weights": False, "target_modules": tiny.targets}
    with quiet_peft():
        model = get_peft_model(tiny.build(), NeatConfig(**config), adapter_name="a")
        model.add_adapter("b", NeatConfig(**{**config, "depth": 4, "activation": "tanh", **settings}))
    return model.eval()


def logits(model, batch, **given):
    with torch.no_grad():
        return model(**batch, **given).logits


@pytest.mark.parametrize("tiny", [LLAMA, BERT], ids=["llama", "bert"])
def test_each_row_of_a_batch_has_the_adapter_named_for_it(tiny):
    model = two(tiny)
    batch = {name: torch.cat([value] * 2)[:4] for name, value in tiny.batch.items() if name != "labels"}
    names = ["b", "__base__", "a", "b"][: len(next(iter(batch.values())))]
    found = logits(model, batch, adapter_names=names)
    for row, name in enumerate(names):
        with model.disable_adapter() if name == "__base__" else nullcontext():
            if name != "__base__":
                model.set_adapter(name)
            assert torch.allclose(found[row], logits(model, batch)[row], atol=1e-5)
    model.set_adapter("a")
    assert not any(layer._forward_pre_hooks for _, layer in tuner_layers(model))


@pytest.mark.parametrize("beams", [1, 2])
def test_generate_takes_the_rows_adapters(beams):
    model = two()
    tokens = LLAMA.batch["input_ids"][:2, :3].repeat(2, 1)[:3]
    options = {"max_new_tokens": 4, "do_sample": False, "num_beams": beams, "pad_token_id": 0}
    mixed = model.generate(input_ids=tokens, adapter_names=["a", "b", "__base__"], **options)
    for row, name in enumerate(("a", "b")):
        model.set_adapter(name)
        assert torch.equal(mixed[row], model.generate(input_ids=tokens, **options)[row])
    with model.disable_adapter():
        assert torch.equal(mixed[2], model.generate(input_ids=tokens, **options)[2])


def test_what_cannot_be_mixed_is_said():
    model = two()
    batch = {"input_ids": LLAMA.batch["input_ids"][:2]}
    for names, said in (
        (["a"], "1 adapter_names for a batch of 2"),
        (["a", "c"], "unknown adapter in adapter_names 'c'"),
    ):
        with pytest.raises(BadInput, match=said):
            logits(model, batch, adapter_names=names)
    assert not any(layer._forward_pre_hooks for _, layer in tuner_layers(model))
    model.merge_adapter(["a"])
    with pytest.raises(BadInput, match="unmerge them first"):
        logits(model, batch, adapter_names=["a", "b"])
    model.unmerge_adapter()
    model.train()
    with pytest.raises(BadInput, match="call eval"):
        logits(model, batch, adapter_names=["a", "b"])


@pytest.mark.parametrize("depth", [2, 4, 6])
@pytest.mark.parametrize("orientation", ["out", "in"])
def test_a_weighted_sum_is_exact(depth, orientation):
    settings = {"depth": depth, "activation": "tanh", "orientation": orientation, "target_modules": ["lin"]}
    model = get_peft_model(Net(), NeatConfig(r=3, scaling=0.5, **settings), adapter_name="a")
    model.add_adapter("b", NeatConfig(r=4, **settings))
    layer = model.base_model.model.lin
    for name in ("a", "b"):
        fill(layer, name)
    wanted = 0.7 * layer.get_delta_weight("a") - 2 * layer.get_delta_weight("b")
    model.add_weighted_adapter(["a", "b"], [0.7, -2.0], "sum")
    assert torch.allclose(layer.get_delta_weight("sum"), wanted, atol=1e-5)
    assert layer.neat_config["sum"].r == 7
    assert model.active_adapter == "a"
    assert not any(p.requires_grad for name, p in model.named_parameters() if "sum" in name)


def test_a_sum_is_saved_and_loaded_with_the_ranks_of_its_layers(tmp_path):
    with quiet_peft():
        model = get_peft_model(LLAMA.build(), NeatConfig(r=2, init_weights=False, target_modules=["q_proj"]), "a")
        other = NeatConfig(r=3, init_weights=False, target_modules=["q_proj", "v_proj"])
        model.add_adapter("b", other)
    model.add_weighted_adapter(["a", "b"], [1.0, 1.0], "sum")
    assert {name.rpartition(".")[2]: layer.neat_config["sum"].r for name, layer in tuner_layers(model)} == {
        "q_proj": 5,
        "v_proj": 3,
    }
    model.base_model.set_adapter(["a", "b"])
    wanted = LLAMA.logits(model)
    model.set_adapter("sum")
    assert torch.allclose(LLAMA.logits(model), wanted, atol=1e-5)
    model.save_pretrained(tmp_path, selected_adapters=["sum"])
    with quiet_peft():
        again = PeftModel.from_pretrained(LLAMA.build(), tmp_path / "sum").eval()
    assert torch.allclose(LLAMA.logits(again), wanted, atol=1e-5)


SUMS = [
    (["a", "c"], [1, 1], "unknown adapter 'c'"),
    (["a", "b"], [1], "1 weights for the adapters"),
    (["a", "a"], [1, 1], "each once"),
    (["a", "b"], [1, 1], "depth is 2 in 'a' and 4 in 'b': their sum is no NEAT; it is a LoRA"),
    (["a", "wide"], [1, 1], "r=17 on target module 'lin'"),
    (["a", "prelu"], [1, 1], "activation is 'relu' in 'a' and 'prelu' in 'prelu'"),
]


@pytest.mark.parametrize(("adapters", "weights", "said"), SUMS)
def test_sums_that_are_none_are_refused_and_nothing_is_added(adapters, weights, said):
    model = get_peft_model(Net(), NeatConfig(r=3, target_modules=["lin"]), adapter_name="a")
    for name, settings in {"b": {"depth": 4}, "wide": {"r": 14}, "prelu": {"activation": "prelu"}}.items():
        model.add_adapter(name, NeatConfig(**{"r": 3, "target_modules": ["lin"], **settings}))
    with pytest.raises(BadInput, match=said):
        model.add_weighted_adapter(adapters, weights, "sum")
    assert set(model.peft_config) == {"a", "b", "wide", "prelu"}
    assert not model.base_model.model.lin.holds("sum")


def test_a_sum_that_only_the_second_layer_refuses_leaves_nothing_on_the_first():
    net = nn.Sequential(nn.Linear(16, 16), nn.Linear(16, 5))
    config = NeatConfig(r=3, target_modules=["0", "1"])
    model = get_peft_model(net, config, adapter_name="a")
    model.add_adapter("b", config)
    with pytest.raises(BadInput, match="r=6 on target module '1'"):
        model.add_weighted_adapter(["a", "b"], [1, 1], "sum")
    assert not any(layer.holds("sum") for _, layer in tuner_layers(model))


def test_a_learned_activation_cannot_be_shared_by_a_sum():
    model = get_peft_model(Net(), NeatConfig(r=3, activation="prelu", target_modules=["lin"]), adapter_name="a")
    model.add_adapter("b", NeatConfig(r=3, activation="prelu", target_modules=["lin"]))
    with pytest.raises(BadInput, match="is learned"):
        model.add_weighted_adapter(["a", "b"], [1, 1], "sum")


def test_layers_have_ranks_and_scalings_of_their_own(tmp_path):
    config = NeatConfig(
        r=4,
        init_weights=False,
        target_modules=["q_proj", "v_proj"],
        rank_pattern={"v_proj": 2, r"layers\.0\.self_attn\.q_proj": 3},
        scaling_pattern={"v_proj": 0.5},
    )
    with quiet_peft():
        model = get_peft_model(LLAMA.build(), config).eval()
    seen = {".".join(n.split(".")[-3::2]): layer.neat_config["default"] for n, layer in tuner_layers(model)}
    ranks = {name: own.r for name, own in seen.items()}
    assert ranks == {"0.q_proj": 3, "0.v_proj": 2, "1.q_proj": 4, "1.v_proj": 2}
    assert {name: own.scaling for name, own in seen.items() if "v_proj" in name} == {"0.v_proj": 0.5, "1.v_proj": 0.5}
    for name, layer in tuner_layers(model):
        assert layer.thetas("default")[0].shape[0] == ranks[".".join(name.split(".")[-3::2])]
    model.save_pretrained(tmp_path)
    with quiet_peft():
        again = PeftModel.from_pretrained(LLAMA.build(), tmp_path).eval()
    assert torch.equal(LLAMA.logits(again), LLAMA.logits(model))


def test_ranks_of_their_own_become_those_of_a_lora_and_no_peanut(tmp_path):
    config = NeatConfig(
        r=4,
        init_weights=False,
        target_modules=["q_proj", "v_proj"],
        rank_pattern={"v_proj": 2},
        scaling_pattern={"v_proj": 0.5},
    )
    with quiet_peft():
        model = get_peft_model(LLAMA.build(), config).eval()
        neat_to_lora(model, tmp_path / "lora")
        again = PeftModel.from_pretrained(LLAMA.build(), tmp_path / "lora").eval()
    assert torch.allclose(LLAMA.logits(again), LLAMA.logits(model), atol=1e-5)
    with pytest.raises(BadInput, match="PEANuT has one r and s for all layers"):
        neat_to_peanut(model, tmp_path / "peanut")
    LLAMA.build().save_pretrained(tmp_path / "base")
    model.save_pretrained(tmp_path / "neat")
    lora, neat = (inspect(tmp_path / name, base=tmp_path / "base").layers for name in ("lora", "neat"))
    assert {layer.name.rpartition(".")[2]: layer.rank for layer in neat} == {"q_proj": 4, "v_proj": 2}
    for a, b in zip(lora, neat, strict=True):
        assert a.name == b.name and torch.allclose(a.spectrum.singular_values, b.spectrum.singular_values, rtol=1e-4)


@pytest.mark.parametrize("pattern", [{"rank_pattern": {"k_porj": 2}}, {"scaling_pattern": {"k_porj": 2.0}}])
def test_a_pattern_that_matches_nothing_is_refused(pattern):
    model = LLAMA.build()
    with pytest.raises(BadInput, match=r"unknown module in .*_pattern 'k_porj'; .*did you mean 'k_proj'"), quiet_peft():
        get_peft_model(model, NeatConfig(target_modules=LLAMA.targets, **pattern))
    assert not list(tuner_layers(model))


def test_a_rank_that_a_layer_cannot_have_names_the_layer_and_the_way_out():
    with pytest.raises(BadInput, match=r"r=99 on target module '.*q_proj'.* rank_pattern=\{'q_proj': "), quiet_peft():
        get_peft_model(LLAMA.build(), NeatConfig(r=99, target_modules=["q_proj"]))


@pytest.mark.parametrize("settings", [{"dropout": 1.0}, {"dropout": -0.1}, {"dropout": "some"}, {"dropout": None}])
def test_dropout_outside_its_range_is_refused(settings):
    with pytest.raises(BadInput, match="dropout="):
        NeatConfig(**settings)


@pytest.mark.parametrize("name", ["rank_pattern", "scaling_pattern"])
@pytest.mark.parametrize("value", ["many", None])
def test_a_pattern_holds_numbers(name, value):
    with pytest.raises(BadInput, match=rf"{name}\['q'\]="):
        NeatConfig(**{name: {"q": value}})


def test_dropout_is_of_the_updates_input_and_of_training_alone():
    _, layer = adapted(dropout=0.5)
    x = torch.ones(4000, D_IN)
    layer.train()
    dropped = layer(x)
    layer.eval()
    whole, base = layer(x), layer.base_layer(x)
    assert not torch.allclose(dropped, whole)
    update = whole - base
    assert torch.allclose((dropped - base).mean(0), update.mean(0), atol=0.1 * float(update.abs().max()))
    torch.manual_seed(3)
    layer.train()
    found = layer(x) - base
    torch.manual_seed(3)
    assert torch.allclose(found, layer.factors("default").apply(nn.functional.dropout(x, 0.5)), atol=1e-4)


def test_the_scale_of_an_adapter_is_set_multiplied_and_put_back():
    _, layer = adapted(scaling=0.5)
    layer.eval()
    x = torch.randn(3, D_IN)
    with torch.no_grad():
        base, whole = layer.base_layer(x), layer(x)
        for change, factor in (
            (lambda: layer.set_scale("default", 2.0), 2.0),
            (lambda: layer.scale_layer(3.0), 6.0),
            (lambda: layer.unscale_layer(3.0), 2.0),
            (lambda: layer.unscale_layer(), 1.0),
            (lambda: layer.set_scale("none", 9.0), 1.0),
        ):
            change()
            assert torch.allclose(layer(x) - base, factor * (whole - base), atol=1e-5)


HINTS = {
    "lora_alpha": "here it is scaling",
    "lora_dropout": "here it is dropout",
    "act_fn": "here it is activation",
    "alpha_pattern": "here it is scaling_pattern",
    "rank": "here it is r",
    "target_module": "here it is target_modules",
    "target_parameters": "NEAT adapts layers, which target_modules names",
    "qqq": "allowed: ",
}


@pytest.mark.parametrize(("name", "said"), HINTS.items())
def test_a_field_of_another_method_gets_a_hint(name, said):
    with pytest.raises(TypeError, match=f"unexpected keyword argument '{name}'; {said}") as refused:
        NeatConfig(**{name: 1})
    assert isinstance(refused.value, BadInput)


def test_all_linear_says_what_it_leaves_frozen():
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = MixtralForCausalLM(MixtralConfig(vocab_size=24, num_key_value_heads=2, num_local_experts=2, **sizes))
    with pytest.warns(UserWarning, match=r"all-linear leaves 2 weights frozen .*experts\.gate_up_proj"):
        get_peft_model(model, NeatConfig(r=2, target_modules="all-linear"))


def test_a_broken_merge_is_said_in_pefts_words():
    _, layer = adapted()
    with torch.no_grad():
        layer.thetas("default")[0][0, 0] = torch.nan
    before = layer.base_layer.weight.clone()
    with pytest.raises(ValueError, match="NaNs detected in the merged weights"):
        layer.merge(safe_merge=True)
    assert torch.equal(layer.base_layer.weight, before) and layer.out_features == D_OUT
