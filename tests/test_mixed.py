"""NEAT beside other methods in one layer, by PEFT's mixed models."""

import warnings

import pytest
import torch
from peft import LoHaConfig, LoKrConfig, LoraConfig, PeanutConfig, PeftMixedModel, get_peft_model
from torch import nn

from neatlab.adapters.neat import NeatConfig, NeatLayer

D_IN, D_OUT = 24, 16
OTHERS = {
    "LoRA": lambda: LoraConfig(r=3, target_modules=["0"], init_lora_weights=False),
    "LoHa": lambda: LoHaConfig(r=3, target_modules=["0"], init_weights=False),
    "LoKr": lambda: LoKrConfig(r=3, target_modules=["0"], init_weights=False),
}


def neat():
    return NeatConfig(r=4, depth=4, activation="tanh", target_modules=["0"], init_weights=False)


def mixed(configs):
    """A model with these adapters, all active, and the layers of its one module by their class."""
    names = list(configs)
    model = get_peft_model(nn.Sequential(nn.Linear(D_IN, D_OUT)), configs[names[0]], names[0], mixed=True)
    for name in names[1:]:
        model.add_adapter(name, configs[name])
    model.set_adapter(names)
    stack, layer = {}, model.base_model.model[0]
    while hasattr(layer, "base_layer"):
        stack[next(name for name in names if any(name in getattr(layer, p) for p in layer.adapter_layer_names))] = layer
        layer = layer.base_layer
    return model, stack, layer


@pytest.fixture(params=[f"{a} {b}" for other in OTHERS for a, b in ((other, "NEAT"), ("NEAT", other))])
def pair(request):
    return mixed({name: neat() if name == "NEAT" else OTHERS[name]() for name in request.param.split()})


def deltas(stack):
    return {name: layer.get_delta_weight(name).detach() for name, layer in stack.items()}


def test_the_output_is_that_of_both_updates_of_the_same_weight(pair):
    model, stack, base = pair
    x, parts = torch.randn(5, D_IN), deltas(stack)
    assert torch.allclose(model(x), nn.functional.linear(x, base.weight + sum(parts.values()), base.bias), atol=1e-5)
    for name, delta in parts.items():
        model.set_adapter(name)
        assert torch.allclose(model(x), nn.functional.linear(x, base.weight + delta, base.bias), atol=1e-5)


def test_both_train(pair):
    model, _, base = pair
    model(torch.randn(5, D_IN)).sum().backward()
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert {name for name, p in model.named_parameters() if p.grad is not None} == trained
    assert not base.weight.requires_grad
    assert any("neat_theta" in name for name in trained)


def test_a_neat_layer_lies_innermost(pair):
    _, stack, _ = pair
    assert list(stack)[-1] == "NEAT"


def test_merging_takes_both_updates_of_the_weight_before(pair):
    model, stack, base = pair
    x, parts, weight = torch.randn(5, D_IN), deltas(stack), base.weight.detach().clone()
    before = model.eval()(x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.merge_adapter()
    assert torch.allclose(base.weight, weight + sum(parts.values()), atol=1e-6)
    assert torch.allclose(model(x), before, atol=1e-5)
    model.unmerge_adapter()
    assert torch.equal(base.weight, weight)
    assert torch.allclose(model(x), before, atol=1e-6)
    merged = model.merge_and_unload()
    assert isinstance(merged[0], nn.Linear)
    assert torch.allclose(merged(x), before, atol=1e-5)


def test_three_methods_merge_whatever_their_order():
    for order in (["NEAT", "LoRA", "LoHa"], ["LoRA", "NEAT", "LoHa"], ["LoRA", "LoHa", "NEAT"]):
        torch.manual_seed(0)
        model, stack, base = mixed({name: neat() if name == "NEAT" else OTHERS[name]() for name in order})
        x, wanted = torch.randn(5, D_IN), base.weight.detach() + sum(deltas(stack).values())
        merged = model.merge_and_unload(safe_merge=True)
        assert torch.allclose(merged[0].weight, wanted, atol=1e-6)
        assert torch.allclose(merged(x), nn.functional.linear(x, wanted, base.bias), atol=1e-6)


def test_unloading_gives_the_base_back(pair):
    model, _, base = pair
    weight = base.weight.detach().clone()
    plain = model.unload()
    assert plain[0] is base
    assert torch.equal(plain[0].weight, weight)


def test_one_is_deleted_and_the_other_stays(pair):
    model, stack, base = pair
    (other,) = (name for name in stack if name != "NEAT")
    x, delta = torch.randn(5, D_IN), deltas(stack)[other]
    model.delete_adapter("NEAT")
    model.set_adapter(other)
    assert torch.allclose(model(x), nn.functional.linear(x, base.weight + delta, base.bias), atol=1e-5)


def test_saved_adapters_are_put_together(tmp_path):
    layer, x = nn.Linear(D_IN, D_OUT), torch.randn(5, D_IN)
    updates = 0
    for name, config in (("NEAT", neat()), ("LoRA", OTHERS["LoRA"]())):
        model = get_peft_model(nn.Sequential(layer), config)
        updates = updates + (model(x) - layer(x))
        model.save_pretrained(tmp_path / name)
        layer = model.unload()[0]
    model = PeftMixedModel.from_pretrained(nn.Sequential(layer), tmp_path / "NEAT", "NEAT")
    model.load_adapter(tmp_path / "LoRA", "LoRA")
    model.set_adapter(["NEAT", "LoRA"])
    assert torch.allclose(model(x), layer(x) + updates, atol=1e-5)
    assert isinstance(model.base_model.model[0].base_layer, NeatLayer)


def test_other_methods_are_refused_as_before():
    with pytest.raises(ValueError, match="not compatible with the `PeftMixedModel`"):
        get_peft_model(nn.Sequential(nn.Linear(4, 4)), PeanutConfig(r=2, target_modules=["0"]), mixed=True)
