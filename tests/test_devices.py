"""The equation's numbers on every device that this machine has: forward, gradients, merging, decoding."""

import copy

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from neatlab.adapters.neat import NeatConfig
from tests.oracles import neat_delta
from tests.test_neat import as_in_paper, fill

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
D_IN, D_OUT = 96, 64
# The most that an output may differ, over the largest: rounding of the precision, not more.
PRECISIONS = {torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float16: 3e-3}
CASES = [
    {"depth": depth, "orientation": orientation, "conditioning": conditioning, "activation": activation}
    for depth, activation in ((2, "tanh"), (4, "gelu"), (6, "sin"))
    for orientation in ("out", "in")
    for conditioning in ("weight", "none")
]

pytestmark = [
    pytest.mark.parametrize("device", DEVICES),
    pytest.mark.parametrize("precision", PRECISIONS, ids=str),
    pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case.values()))),
]


@pytest.fixture
def layer(device, precision, case):
    net = nn.Sequential(nn.Linear(D_IN, D_OUT)).requires_grad_(False).to(device, precision)
    layer = get_peft_model(net, NeatConfig(r=5, target_modules=["0"], scaling=0.7, **case)).base_model.model[0]
    fill(layer)
    return layer


def expected(layer, x, case):
    """Output (float64, on the CPU), with Θ and x as leaves of its graph."""
    weight, bias = (p.detach().cpu().double() for p in (layer.base_layer.weight, layer.base_layer.bias))
    thetas = [theta.cpu().double().requires_grad_() for theta in as_in_paper(layer.thetas("default"))]
    leaf = x.detach().cpu().double().requires_grad_()
    delta = neat_delta(
        weight, thetas, case["activation"], "paired", case["orientation"], case["conditioning"], scaling=0.7
    )
    return leaf @ (weight + delta).T + bias, leaf, thetas


def differs(found, wanted):
    return ((found.detach().cpu().double() - wanted).abs().max() / wanted.abs().max()).item()


def test_forward_and_gradients(layer, device, precision, case):
    x = torch.randn(3, 7, D_IN, device=device, dtype=precision, requires_grad=True)
    y = layer(x)
    wanted, leaf, thetas = expected(layer, x, case)
    assert y.device.type == device
    assert y.dtype == precision
    assert differs(y, wanted) < PRECISIONS[precision]
    pull = torch.randn_like(y)
    y.backward(pull)
    wanted.backward(pull.cpu().double())
    assert differs(x.grad, leaf.grad) < PRECISIONS[precision]
    for theta, exact in zip(as_in_paper([t.grad for t in layer.thetas("default")]), thetas, strict=True):
        assert differs(theta, exact.grad) < 5 * PRECISIONS[precision]


def test_a_token_and_a_merged_layer(layer, device, precision, case):
    layer.eval()
    token = torch.randn(1, 1, D_IN, device=device, dtype=precision)
    wanted, _, _ = expected(layer, token, case)
    before = layer.base_layer.weight.clone()
    with torch.no_grad():
        assert differs(layer(token), wanted.detach()) < PRECISIONS[precision]
        assert differs(layer(token), wanted.detach()) < PRECISIONS[precision]  # from what was kept
        layer.merge(safe_merge=True)
        assert differs(layer(token), wanted.detach()) < 2 * PRECISIONS[precision]
        layer.unmerge()
    assert torch.equal(layer.base_layer.weight, before)


def test_moving_between_devices(device, precision, case):
    """A model made on the CPU and moved is the model made there; LoRA's is, too."""
    net = nn.Sequential(nn.Linear(D_IN, D_OUT)).requires_grad_(False).to(precision)
    x = torch.randn(5, D_IN, dtype=precision)
    for config in (NeatConfig(target_modules=["0"], **case), LoraConfig(target_modules=["0"])):
        model = get_peft_model(copy.deepcopy(net), config).eval()
        with torch.no_grad():
            for parameter in (p for p in model.parameters() if p.requires_grad):
                parameter.normal_(0, 0.1)
            here = model(x).double()
            there = model.to(device)(x.to(device))
            back = model.to("cpu")(x)
        assert differs(there, here) < PRECISIONS[precision]
        assert torch.equal(back.double(), here)
