"""The layer and its update in one function: the numbers of the layer composed of its parts, and no more work."""

import pytest
import torch
from peft import get_peft_model
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from transformers.pytorch_utils import Conv1D

from neatlab.adapters.neat import NeatConfig, fused
from tests.test_neat import D_IN, D_OUT, Net, adapted, fill

LAYERS = {
    "linear": lambda: nn.Linear(D_IN, D_OUT),
    "no bias": lambda: nn.Linear(D_IN, D_OUT, bias=False),
    "wide": lambda: nn.Linear(D_IN, 3 * D_IN),
    "conv1d": lambda: Conv1D(D_OUT, D_IN),
}
INPUTS = {
    "a row": lambda: torch.randn(D_IN),
    "rows": lambda: torch.randn(6, D_IN),
    "sequences": lambda: torch.randn(2, 3, D_IN),
    "transposed": lambda: torch.randn(D_IN, 6).T,
    "every other": lambda: torch.randn(4, 2, D_IN)[:, 0],
    "none": lambda: torch.randn(0, D_IN),
}
SETTINGS = [{}, {"orientation": "in", "depth": 4, "scaling": 0.7}, {"activation": "prelu"}, {"conditioning": "none"}]


@pytest.fixture
def fused_calls(monkeypatch):
    """How often the fused way was taken."""
    calls, real = [], fused._forward
    monkeypatch.setattr(fused, "_forward", lambda *given: calls.append(1) or real(*given))
    return calls


def results(layer, x, grad=True):
    """Output, and the gradients of input and parameters."""
    x = x.detach().requires_grad_(grad)
    layer.zero_grad()
    with torch.set_grad_enabled(grad):
        y = layer(x)
    if grad:
        (y * torch.arange(y.numel()).sin().view_as(y)).sum().backward()
    return [y.detach(), x.grad, *(p.grad for p in layer.parameters() if p.requires_grad)] if grad else [y]


def composed(layer):
    """The same layer on its other way: something listens to its base layer."""
    return layer.base_layer.register_forward_hook(lambda *_: None)


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS.keys())
@pytest.mark.parametrize("x", INPUTS.values(), ids=INPUTS.keys())
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_output_and_gradients_are_those_of_the_parts(layer, x, settings, fused_calls):
    _, adapter = adapted(Net(layer()), **settings)
    adapter.base_layer.requires_grad_(False)
    given = x()
    for grad in (True, False):
        found = results(adapter, given, grad)
        assert len(fused_calls) == 1
        handle = composed(adapter)
        expected = results(adapter, given, grad)
        assert len(fused_calls) == 1
        handle.remove()
        fused_calls.clear()
        for a, b in zip(found, expected, strict=True):
            assert torch.allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("orientation", ["out", "in"])
def test_a_bfloat16_base(orientation, fused_calls):
    net = Net().to(torch.bfloat16).requires_grad_(False)
    layer = get_peft_model(net, NeatConfig(r=5, orientation=orientation, target_modules=["lin"])).base_model.model.lin
    fill(layer)
    x = torch.randn(6, D_IN, dtype=torch.bfloat16)
    found = results(layer, x)
    composed(layer)
    for a, b in zip(found, results(layer, x), strict=True):
        assert a.dtype == b.dtype
        assert torch.allclose(a.float(), b.float(), rtol=0.05, atol=0.05 * b.float().abs().max())
    assert len(fused_calls) == 1


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float32])
def test_autocast_in_the_layers_own_precision_changes_nothing(precision, fused_calls):
    net = Net().to(precision).requires_grad_(False)
    layer = get_peft_model(net, NeatConfig(r=5, target_modules=["lin"])).base_model.model.lin
    fill(layer)
    x = torch.randn(6, D_IN, dtype=precision)
    plain = results(layer, x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = results(layer, x)
    assert cast[0].dtype == torch.bfloat16  # autocast's, whatever the layer's
    assert len(fused_calls) == (2 if precision == torch.bfloat16 else 1)
    if precision == torch.bfloat16:
        assert all(torch.equal(a, b) for a, b in zip(plain, cast, strict=True))


def test_it_can_be_differentiated_twice(fused_calls):
    _, layer = adapted(Net().double(), activation="tanh", depth=4)
    layer.requires_grad_(False).double()
    thetas = layer.thetas("default")
    x = torch.randn(3, D_IN, dtype=torch.double, requires_grad=True)

    def of(x, *given):
        named = {f"neat_theta.default.{i}": theta for i, theta in enumerate(given)}
        return torch.func.functional_call(layer, named, (x,))

    leaves = [theta.detach().clone().requires_grad_() for theta in thetas]
    assert torch.autograd.gradcheck(of, (x, *leaves))
    assert torch.autograd.gradgradcheck(of, (x, *leaves))
    assert fused_calls


HINDRANCES = {
    "hook": lambda layer: layer.base_layer.register_forward_hook(lambda *_: None),
    "hook before": lambda layer: layer.base_layer.register_forward_pre_hook(lambda *_: None),
    "hook of the gradient": lambda layer: layer.base_layer.register_full_backward_hook(lambda *_: None),
    "another forward": lambda layer: setattr(layer.base_layer, "forward", layer.base_layer.forward),
    "a trained bias": lambda layer: layer.base_layer.bias.requires_grad_(True),
    "a trained weight": lambda layer: layer.base_layer.weight.requires_grad_(True),
    "two adapters": lambda layer: (layer.update_layer("b", NeatConfig(r=2)), layer.set_adapter(["default", "b"])),
}


@pytest.mark.parametrize("hinder", HINDRANCES.values(), ids=HINDRANCES.keys())
def test_where_more_happens_than_a_product_the_parts_are_called(hinder, fused_calls):
    _, layer = adapted()
    layer.base_layer.requires_grad_(False)
    hinder(layer)
    x = torch.randn(3, D_IN)
    y = layer(x)
    y.sum().backward()
    assert not fused_calls
    delta = sum(layer.get_delta_weight(name) for name in layer.active_adapters)
    weight = layer.base_layer.weight + delta
    assert torch.allclose(y, nn.functional.linear(x, weight, layer.base_layer.bias), atol=1e-5)
    assert all((p.grad is not None) == p.requires_grad for p in layer.parameters())


def test_a_hook_on_all_modules_sees_the_base_layer(fused_calls):
    _, layer = adapted()
    layer.base_layer.requires_grad_(False)
    seen = []
    handle = nn.modules.module.register_module_forward_hook(lambda module, *_: seen.append(module))
    layer(torch.randn(3, D_IN))
    handle.remove()
    assert layer.base_layer in seen and not fused_calls


def test_forward_derivatives(fused_calls):
    _, layer = adapted(activation="tanh")
    layer.requires_grad_(False)
    x, tangent = torch.randn(3, D_IN), torch.randn(3, D_IN)
    with torch.autograd.forward_ad.dual_level():
        y = layer(torch.autograd.forward_ad.make_dual(x, tangent))
        found = torch.autograd.forward_ad.unpack_dual(y).tangent
    assert torch.allclose(found, layer(tangent) - layer(torch.zeros(D_IN)), atol=1e-5)


def test_a_frozen_adapter_is_computed_once_where_only_the_input_trains(monkeypatch):
    _, layer = adapted(activation="tanh")
    layer.requires_grad_(False)
    x, calls, real = torch.randn(3, D_IN, requires_grad=True), [], layer._compute_factors
    monkeypatch.setattr(layer, "_compute_factors", lambda name: calls.append(name) or real(name))
    with torch.inference_mode():
        layer(x.detach())
    for _ in range(3):
        x.grad = None
        layer(x).sum().backward()
    weight = layer.base_layer.weight + layer.get_delta_weight("default")
    assert torch.allclose(x.grad, weight.sum(0).expand(3, -1), atol=1e-5)
    assert len(calls) == 2  # in the layer's precision for the forwards, and for get_delta_weight


class Operations(TorchDispatchMode):
    """The names of what is computed."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


VIEWS = {
    "t",
    "permute",
    "transpose",
    "view",
    "reshape",
    "_unsafe_view",
    "unsqueeze",
    "squeeze",
    "expand",
    "detach",
    "alias",
}


@pytest.mark.parametrize("orientation", ["out", "in"])
@pytest.mark.parametrize("depth", [2, 6])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_decoding_is_the_base_layer_and_two_thin_products(orientation, depth, dtype):
    net = Net().to(dtype).requires_grad_(False)
    config = NeatConfig(r=5, depth=depth, orientation=orientation, target_modules=["lin"])
    layer = get_peft_model(net, config).eval().base_model.model.lin
    fill(layer)
    x = torch.randn(1, D_IN, dtype=dtype)
    with torch.no_grad():
        layer(x)
        with Operations() as seen:
            layer(x)
    thin = ["mm", "addmm_"] if dtype == torch.float32 else ["_to_copy", "mm", "mm", "add_"]  # in float32: it is faster
    assert [name for name in seen.names if name not in VIEWS] == ["addmm", *thin]
