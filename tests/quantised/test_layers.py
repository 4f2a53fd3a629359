"""NEAT on quantised layers: the same as NEAT on the weight that they stand for, which is never held in full."""

import weakref

import pytest
import torch
from peft import get_peft_model
from peft.utils.quantization_utils import ForwardOnlyQuantizationBackend
from torch import nn
from torchao.quantization import Int8WeightOnlyConfig

from neatlab.adapters.neat import NeatConfig
from neatlab.analysis.cost import saved_bytes
from neatlab.errors import BadInput
from tests.oracles import neat_delta
from tests.quantised.bases import BASES, D_IN, D_OUT, STEPS, Net, torchao
from tests.test_neat import as_in_paper

ORIENTATIONS = ["out", "in"]


def watched(layer, monkeypatch):
    """References to every weight that this layer makes out of few bits, the base layer's own apart."""
    made, read = [], layer.storage.read

    def watch(*given):
        weight = read(*given)
        made.append(weakref.ref(weight))
        return weight

    monkeypatch.setattr(layer.storage, "read", watch)
    monkeypatch.setattr(type(layer.base_layer), "forward", lambda *_: pytest.fail("the base layer makes its own too"))
    return made


def adapted(net, **settings):
    """A net with a NEAT adapter that changes its output, and its layer."""
    config = {"r": 4, "depth": 4, "activation": "tanh", "init_weights": False, "target_modules": ["lin"], **settings}
    model = get_peft_model(net, NeatConfig(**config))
    return model, model.base_model.model.lin


@pytest.fixture(params=BASES)
def kind(request):
    return request.param


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_output_and_gradients_are_those_of_the_equation(kind, orientation):
    model, layer = adapted(BASES[kind](), orientation=orientation, scaling=0.7)
    x, grad = torch.randn(2, 5, D_IN, requires_grad=True), torch.randn(2, 5, D_OUT)
    base = layer.base_layer(x)
    (base_grad,) = torch.autograd.grad(base, x, grad)
    thetas = [theta.requires_grad_() for theta in as_in_paper(layer.thetas("default"))]
    delta = neat_delta(layer.base_weight().float(), thetas, "tanh", orientation=orientation, scaling=0.7)
    expected = torch.autograd.grad(x @ delta.T, [x, *thetas], grad)
    result = model(x)
    assert torch.allclose(result - base, x @ delta.T, atol=2e-6)
    result.backward(grad)
    assert torch.allclose(x.grad, base_grad + expected[0], atol=2e-6)
    stored = [theta.grad for theta in layer.thetas("default")]
    for found, wanted in zip([*(g.T for g in stored[:-1]), stored[-1]], expected[1:], strict=True):
        assert torch.allclose(found, wanted, atol=1e-5 * float(wanted.abs().max()))


def test_magnitudes_scale_the_rows_of_what_the_bits_stand_for(kind):
    model, layer = adapted(BASES[kind](), use_dora=True)
    weight, x = layer.base_weight().float(), torch.randn(5, D_IN)
    norms = weight.norm(dim=1)
    assert torch.allclose(layer.neat_magnitude["default"], norms, rtol=1e-4)
    with torch.no_grad():
        layer.neat_magnitude["default"].mul_(1.5)
        factors = layer.factors("default")
        direction = weight + factors.dense()
        change = 1.5 * (norms / direction.norm(dim=1))[:, None] * direction - weight
        expected = layer.base_layer(x) + x @ change.T
    assert torch.allclose(model(x), expected, atol=1e-2 if kind == "bnb8" else 1e-4)  # it computes in 8 bits itself


def test_it_trains_and_leaves_the_base_alone(kind):
    model, layer = adapted(BASES[kind]())
    before, x, target = layer.base_weight().clone(), torch.randn(64, D_IN), torch.randn(64, D_OUT)
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    losses = []
    for _ in range(30):
        loss = (model(x) - target).square().mean()
        losses.append(float(loss.detach()))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert losses[-1] < 0.95 * losses[0]
    assert torch.equal(layer.base_weight(), before)


def test_the_weight_in_full_is_not_kept_for_the_backward_pass(kind):
    model, layer = adapted(BASES[kind](), r=1, depth=2)
    x = torch.randn(8, D_IN, requires_grad=True)
    base = saved_bytes(lambda: layer.base_layer(x))
    in_full = 4 * layer.base_weight().numel()
    assert saved_bytes(lambda: model(x)) - base < in_full / 4


def test_a_forward_without_gradients_reads_the_weight_once(kind, monkeypatch):
    model, layer = adapted(BASES[kind]())
    model.eval()
    reads, read = [], layer.storage.read
    monkeypatch.setattr(layer.storage, "read", lambda *given: reads.append(1) or read(*given))
    with torch.no_grad():
        assert torch.equal(model(torch.ones(1, D_IN)), model(torch.ones(1, D_IN)))
    assert len(reads) == 1


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("conditioning", ["weight", "none"])
@pytest.mark.parametrize("has_bias", [True, False])
def test_a_step_on_4_bits_makes_the_weight_once_forward_and_once_backward(
    orientation, conditioning, has_bias, monkeypatch
):
    net = BASES["bnb4"]()
    if not has_bias:
        net.lin.bias = None
    model, layer = adapted(net, orientation=orientation, conditioning=conditioning)
    x, grad = torch.randn(3, 5, D_IN, requires_grad=True), torch.randn(3, 5, D_OUT)
    layer.base_layer(x)  # chooses the precision it computes in
    handle = layer.base_layer.register_forward_hook(lambda *_: None)  # so that the parts are called
    expected = torch.autograd.grad(model(x), [x, *layer.thetas("default")], grad)
    parts = model(x).detach()
    handle.remove()
    layer.refresh()
    made = watched(layer, monkeypatch)
    result = model(x)
    assert len(made) == 1 and made[0]() is None  # made once, and gone
    assert torch.allclose(result, parts, atol=2e-6)
    for found, wanted in zip(torch.autograd.grad(result, [x, *layer.thetas("default")], grad), expected, strict=True):
        assert torch.allclose(found, wanted, atol=1e-5 * float(wanted.abs().max()))
    assert len(made) == 2 and made[1]() is None


@pytest.mark.parametrize("is_late", [False, True])
def test_evaluation_changes_neither_the_weight_nor_the_way_back(kind, is_late):
    net, x = BASES[kind](), torch.randn(4, D_IN)
    if is_late:  # the model has served before it gets the adapter
        net.eval()(x)
    model, layer = adapted(net)
    weight, trained = layer.base_weight().clone(), model(x)
    model.eval()
    with torch.no_grad():
        assert torch.allclose(model(x), trained, atol=2e-2)  # 8 bits of bitsandbytes go another way
        identity = layer.base_layer(torch.eye(D_IN)) - layer.base_layer(torch.zeros(1, D_IN))
    assert torch.allclose(identity.T, weight.float(), atol=2e-3)
    assert torch.equal(layer.base_weight(), weight)
    model.train()
    x.requires_grad_()
    model(x).sum().backward()
    update = torch.ones(4, D_OUT) @ (weight.float() + layer.get_delta_weight("default").float())
    assert torch.allclose(x.grad, update, atol=1e-3)


def test_merging_rounds_as_the_base_does_and_unmerging_is_exact(kind):
    model, layer = adapted(BASES[kind]())
    model.eval()
    x = torch.randn(4, D_IN)
    with torch.no_grad():
        before, base, weight = model(x), layer.base_layer, layer.base_weight().clone()
        delta, plain, stored = layer.get_delta_weight("default"), base(x), layer.stored_weight()
        model.merge_adapter(safe_merge=True)
        assert layer.stored_weight() is stored
        merged = layer.storage.read(layer.get_base_layer())
        assert float((merged - weight - delta).abs().max()) <= STEPS[kind] * float((weight + delta).abs().max())
        assert torch.allclose(model(x) - before, x @ (merged - weight - delta).float().T, atol=2e-2)
        assert torch.equal(layer.base_weight(), weight)
        assert torch.equal(layer.get_delta_weight("default"), delta)
        model.unmerge_adapter()
        assert layer.base_layer is base
        assert torch.equal(layer.base_weight(), weight)
        assert torch.equal(layer.base_layer(x), plain)
        assert torch.equal(model(x), before)


def test_a_broken_adapter_leaves_the_base_as_it_was(kind):
    model, layer = adapted(BASES[kind]())
    weight = layer.base_weight().clone()
    with torch.no_grad():
        layer.thetas("default")[-1].fill_(torch.nan)
    with pytest.raises(ValueError, match="NaNs detected in the merged weights"):
        model.merge_adapter(safe_merge=True)
    assert torch.equal(layer.base_weight(), weight)
    assert not layer.merged


def test_rows_of_a_batch_have_adapters_of_their_own(kind):
    model, _ = adapted(BASES[kind]())
    model.add_adapter("other", NeatConfig(r=2, init_weights=False, target_modules=["lin"]))
    x = torch.randn(3, D_IN)
    model.eval()
    with torch.no_grad():
        mixed = model(x, adapter_names=["other", "__base__", "default"])
        assert torch.allclose(mixed[2], model(x)[2], atol=1e-2)  # 8 bits of bitsandbytes look at the whole batch
        model.set_adapter("other")
        assert torch.allclose(mixed[0], model(x)[0], atol=1e-2)


def test_torchao_by_itself_serves_and_says_what_merging_needs():
    model, layer = adapted(torchao(Int8WeightOnlyConfig()))
    x = torch.randn(2, D_IN)
    before = model(x)
    with pytest.raises(BadInput, match="TorchAoConfig"):
        model.merge_adapter()
    assert not layer.merged
    assert torch.equal(model(x), before)


def test_a_rank_above_a_quantised_layer_is_refused_by_name(kind):
    with pytest.raises(
        BadInput, match=f"r=65 on target module 'lin', a layer of {D_OUT} × {D_IN}; allowed there: 1 to"
    ):
        adapted(BASES[kind](), r=65)


def test_what_cannot_give_its_weight_is_refused_by_name(monkeypatch):
    for name in ("gptq", "awq", "aqlm", "eetq"):
        monkeypatch.setattr(
            "neatlab.adapters.neat.storage.resolve_quantization_backend",
            lambda *_, name=name, **__: ForwardOnlyQuantizationBackend(name),
        )
        with pytest.raises(BadInput, match=f"'lin': Linear is quantised by {name} in a form that cannot give W₀"):
            adapted(Net(nn.Linear(D_IN, D_OUT)))
