"""The NEAT layer against a plain transcription of its equation and against PEFT's PEANuT."""

import copy
import itertools

import pytest
import torch
from peft import PeanutConfig, PeftModel, get_peft_model
from torch import nn
from transformers.activations import ACT2FN
from transformers.pytorch_utils import Conv1D

from neatlab.adapters.neat import NeatConfig, NeatLinear
from neatlab.adapters.neat.config import parameter_count
from neatlab.adapters.neat.hidden import LAB_ACTIVATIONS, activation_names
from neatlab.errors import BadInput
from tests.oracles import neat_delta

D_IN, D_OUT, RANK = 24, 16, 5


class Net(nn.Module):
    def __init__(self, layer: nn.Module | None = None) -> None:
        super().__init__()
        self.lin = layer or nn.Linear(D_IN, D_OUT)
        self.head = nn.Linear(self.lin(torch.zeros(1, D_IN)).shape[-1], 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.tanh(self.lin(x)))


def adapted(net: nn.Module | None = None, filled: bool = True, **settings) -> tuple[PeftModel, NeatLinear]:
    """A net with a NEAT adapter, every Θ drawn at random unless `filled` is False."""
    config = NeatConfig(**{"r": RANK, "target_modules": ["lin"], **settings})
    model = get_peft_model(net or Net(), config)
    layer = model.base_model.model.lin
    if filled:
        fill(layer)
    return model, layer


def fill(layer: NeatLinear, adapter: str = "default") -> None:
    with torch.no_grad():
        for theta in layer.thetas(adapter):
            theta.normal_(0, 0.3)


def paper_thetas(layer: NeatLinear, adapter: str = "default") -> list[torch.Tensor]:
    """Θ as in the paper, leaves of their own graph."""
    return [theta.clone().requires_grad_() for theta in as_in_paper(layer.thetas(adapter))]


def as_in_paper(stored: list[torch.Tensor]) -> list[torch.Tensor]:
    *before, last = [theta.detach() for theta in stored]
    return [*(theta.T for theta in before), last]


VARIANTS = [
    {"depth": depth, "residual": residual, "orientation": orientation, "conditioning": conditioning}
    for depth, residual, orientation, conditioning in itertools.product(
        (2, 3, 4, 6), ("paired", "none"), ("out", "in"), ("weight", "none")
    )
    if not (depth % 2 and residual == "paired")
]


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: "-".join(str(x) for x in v.values()))
@pytest.mark.parametrize("activation", ["relu", "gelu", "tanh", "sin", "linear"])
def test_forward_and_gradients_equal_the_papers_equation(variant, activation):
    _model, layer = adapted(activation=activation, scaling=0.7, frequency=2.0, **variant)
    x = torch.randn(3, 4, D_IN)
    thetas = paper_thetas(layer)
    weight = layer.base_weight()
    delta = neat_delta(
        weight,
        thetas,
        activation,
        variant["residual"],
        variant["orientation"],
        variant["conditioning"],
        scaling=0.7,
        frequency=2.0,
    )
    expected = nn.functional.linear(x, weight + delta, layer.base_layer.bias)
    result = layer(x)
    assert torch.allclose(result, expected, atol=1e-5)
    result.square().sum().backward()
    expected.square().sum().backward()
    grads = as_in_paper([theta.grad for theta in layer.thetas("default")])
    for grad, slow in zip(grads, thetas, strict=True):
        assert torch.allclose(grad, slow.grad, atol=1e-5 * slow.grad.abs().max())


@pytest.mark.parametrize("activation", ["relu", "gelu", "tanh"])
@pytest.mark.parametrize(("depth", "pairs"), [(2, 0), (4, 1), (6, 2)])
def test_equals_pefts_peanut(depth, pairs, activation):
    net = Net()
    peanut = get_peft_model(
        copy.deepcopy(net), PeanutConfig(r=RANK, depth=pairs, act_fn=activation, scaling=0.5, target_modules=["lin"])
    )
    other = peanut.base_model.model.lin
    layers = [other.peanut_A, *other.peanut_encoders["default"], *other.peanut_decoders["default"], other.peanut_B]
    weights = [getattr(m, "default", m).weight for m in layers]
    model, layer = adapted(net, depth=depth, activation=activation, scaling=0.5)
    with torch.no_grad():
        for theta, weight in zip(as_in_paper(layer.thetas("default")), weights, strict=True):
            weight.copy_(theta.T)
    x = torch.randn(7, D_IN)
    ours, theirs = model(x), peanut(x)
    assert torch.allclose(ours, theirs, atol=1e-5)
    ours.square().sum().backward()
    theirs.square().sum().backward()
    grads = as_in_paper([theta.grad for theta in layer.thetas("default")])
    for grad, weight in zip(grads, weights, strict=True):
        assert torch.allclose(grad.T, weight.grad, atol=1e-5 * weight.grad.abs().max())


@pytest.mark.parametrize("activation", activation_names())
def test_every_activation_trains(activation):
    model, layer = adapted(activation=activation, depth=4)
    model(torch.randn(5, D_IN)).square().sum().backward()
    for theta in layer.thetas("default"):
        assert theta.grad.abs().sum() > 0


def test_activation_names_are_transformers_and_the_labs():
    assert set(activation_names()) == set(ACT2FN) | set(LAB_ACTIVATIONS) >= {"relu", "gelu", "sin"}


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: "-".join(str(x) for x in v.values()))
def test_starts_at_zero_and_never_exceeds_rank_r(variant):
    net = Net()
    x = torch.randn(5, D_IN)
    before = net(x)
    model, layer = adapted(net, filled=False, **variant)
    assert torch.equal(model(x), before)
    assert layer.get_delta_weight("default").abs().max() == 0
    fill(layer)
    values = torch.linalg.svdvals(layer.get_delta_weight("default").detach().double())
    assert (values[RANK:] < 1e-6 * values[0]).all()


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: "-".join(str(x) for x in v.values()))
@pytest.mark.parametrize("activation", ["relu", "prelu"])
def test_parameter_count_equals_the_formula(variant, activation):
    model, _layer = adapted(activation=activation, **variant)
    config = model.peft_config["default"]
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert trainable == parameter_count(config, D_IN, D_OUT)


def test_auto_takes_the_cheaper_side():
    for d_in, d_out in ((8, 32), (32, 8), (8, 8)):
        counts = {o: parameter_count(NeatConfig(r=4, orientation=o), d_in, d_out) for o in ("out", "in", "auto")}
        assert counts["auto"] == min(counts.values())
        layer = NeatLinear(nn.Linear(d_in, d_out), "default", NeatConfig(r=4, orientation="auto"))
        assert sum(p.numel() for p in layer.thetas("default")) == counts["auto"]


@pytest.mark.parametrize("orientation", ["out", "in"])
def test_conv1d_equals_linear_with_the_transposed_weight(orientation):
    conv, linear = Conv1D(D_OUT, D_IN), nn.Linear(D_IN, D_OUT)
    with torch.no_grad():
        linear.weight.copy_(conv.weight.T)
        linear.bias.copy_(conv.bias)
    (_model, layer), (_, other) = (adapted(Net(m), orientation=orientation) for m in (conv, linear))
    with torch.no_grad():
        for a, b in zip(layer.thetas("default"), other.thetas("default"), strict=True):
            b.copy_(a)
    x = torch.randn(5, D_IN)
    assert torch.allclose(layer(x), other(x), atol=1e-6)
    assert torch.allclose(layer.get_delta_weight("default").T, other.get_delta_weight("default"), atol=1e-6)
    before = layer(x).detach()
    layer.merge()
    assert torch.allclose(layer(x), before, atol=1e-5)
    layer.unmerge()
    assert torch.equal(layer(x), before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("safe", [False, True])
def test_several_adapters_merge_from_the_weight_before_any_merge(dtype, safe):
    model, layer = adapted(Net().to(dtype))
    model.add_adapter("second", NeatConfig(r=3, depth=4, activation="tanh", target_modules=["lin"]))
    fill(layer, "second")
    original = layer.base_layer.weight.clone()
    weight = original.float()
    deltas = [
        neat_delta(weight, [t.float() for t in paper_thetas(layer, name)], act)
        for name, act in (("default", "relu"), ("second", "tanh"))
    ]
    layer.merge(safe_merge=safe, adapter_names=["default"])
    layer.merge(safe_merge=safe, adapter_names=["second"])
    assert layer.merged_adapters == ["default", "second"]
    expected = (weight + deltas[0] + deltas[1]).to(dtype)
    assert torch.allclose(layer.base_layer.weight.float(), expected.float(), atol=1e-2 if dtype.itemsize == 2 else 1e-5)
    layer.unmerge()
    assert torch.equal(layer.base_layer.weight, original)


def test_safe_merge_refuses_nan_and_changes_nothing():
    _model, layer = adapted()
    with torch.no_grad():
        layer.thetas("default")[0].fill_(float("nan"))
    before = layer.base_layer.weight.clone()
    with pytest.raises(ValueError, match="NaN"):
        layer.merge(safe_merge=True)
    assert torch.equal(layer.base_layer.weight, before)
    assert not layer.merged


def test_merge_and_unload_and_disable():
    net = Net()
    x = torch.randn(5, D_IN)
    plain = net(x)
    model, _layer = adapted(net)
    out = model(x)
    with model.disable_adapter():
        assert torch.equal(model(x), plain)
    assert torch.equal(model(x), out)
    merged = model.merge_and_unload()
    assert isinstance(merged.lin, nn.Linear)
    assert torch.allclose(merged(x), out, atol=1e-5)


def test_save_and_load(tmp_path):
    net = Net()
    model, _ = adapted(copy.deepcopy(net), depth=4, activation="prelu", modules_to_save=["head"])
    x = torch.randn(5, D_IN)
    model.save_pretrained(tmp_path)
    loaded = PeftModel.from_pretrained(copy.deepcopy(net), tmp_path)
    assert torch.equal(loaded(x), model(x))
    assert loaded.peft_config["default"].activation == "prelu"
    assert {p.name for p in tmp_path.iterdir()} >= {"adapter_config.json", "adapter_model.safetensors"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"r": 0}, "at least 1"),
        ({"r": 2.5}, "whole number"),
        ({"depth": 0}, "PEANuT's depth=0 is depth=2 here"),
        ({"depth": 1}, "at least 2"),
        ({"depth": 3}, "even depth: take 2 or 4, or residual='none'"),
        ({"activation": "rellu"}, "did you mean 'relu'"),
        ({"orientation": "output"}, "did you mean 'out'"),
        ({"residual": "skip"}, "allowed: none, paired"),
        ({"conditioning": "wieght"}, "did you mean 'weight'"),
        ({"scaling": float("nan")}, "finite"),
        ({"layers_pattern": "h"}, "layers_to_transform"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(BadInput, match=message):
        NeatConfig(**settings)


def test_rank_above_the_layer_is_refused_before_anything_changes():
    with pytest.raises(BadInput, match=f"r=17 on target module 'lin', a layer of 16 × 24; allowed there: 1 to {D_OUT}"):
        adapted(r=D_OUT + 1)


@pytest.mark.parametrize("layer", [nn.Conv3d(4, 4, 1), nn.LayerNorm(4), nn.MultiheadAttention(4, 1)])
def test_other_modules_are_refused_by_name(layer):
    net = nn.Sequential()
    net.add_module("lin", layer)
    with pytest.raises(BadInput, match=rf"'lin' is a {type(layer).__name__}; NEAT adapts nn.Linear"):
        get_peft_model(net, NeatConfig(r=2, target_modules=["lin"]))


def test_the_output_layer_of_multihead_attention_is_refused():
    net = nn.Sequential()
    net.add_module("attention", nn.MultiheadAttention(4, 1))
    with pytest.raises(BadInput, match="NonDynamicallyQuantizableLinear"):
        get_peft_model(net, NeatConfig(r=2, target_modules=["out_proj"]))
