"""What is kept between forwards, when it is let go, and what a step may make: exact counts, no clocks."""

import copy
import pickle
from itertools import pairwise

import pytest
import torch
from peft import LoraConfig, PeanutConfig, get_peft_model
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.checkpoint import checkpoint

from neatlab.adapters.neat import NeatConfig, hidden
from neatlab.analysis.cost import largest_temporary, peak_bytes, saved_bytes
from tests.oracles import neat_delta
from tests.test_neat import D_IN, Net, adapted, fill, paper_thetas


@pytest.fixture
def products(monkeypatch):
    """Counts how often a product with W₀ is computed."""
    calls = []
    real = hidden.thin_product
    monkeypatch.setattr(hidden, "thin_product", lambda *args: calls.append(1) or real(*args))
    return calls


def exact(layer, x):
    delta = neat_delta(layer.base_weight(), paper_thetas(layer), layer.neat_config["default"].activation)
    return nn.functional.linear(x, layer.base_weight() + delta, layer.base_layer.bias)


def test_evaluation_computes_the_product_once(products):
    model, _layer = adapted()
    model.eval()
    with torch.no_grad():
        for _ in range(5):
            model(torch.randn(2, D_IN))
    assert len(products) == 1


def test_gradient_accumulation_keeps_the_product_and_sums_exact_gradients(products):
    model, layer = adapted(depth=4)
    x = torch.randn(6, D_IN)
    whole = copy.deepcopy(model)
    model(x[:3]).square().sum().backward()
    model(x[3:]).square().sum().backward()
    assert len(products) == 2  # one forward, and the second backward's; the first's is autograd's own
    whole(x).square().sum().backward()
    for a, b in zip(layer.thetas("default"), whole.base_model.model.lin.thetas("default"), strict=True):
        assert torch.allclose(a.grad, b.grad, rtol=1e-4, atol=1e-5)


def test_both_halves_may_be_forwarded_before_either_is_backwarded():
    model, layer = adapted(depth=4)
    x = torch.randn(6, D_IN)
    first, second = model(x[:3]).square().sum(), model(x[3:]).square().sum()
    second.backward()
    first.backward()
    found = [theta.grad.clone() for theta in layer.thetas("default")]
    model.zero_grad()
    model(x).square().sum().backward()
    for a, theta in zip(found, layer.thetas("default"), strict=True):
        assert torch.allclose(a, theta.grad, rtol=1e-4, atol=1e-5)


def _step(layer):
    optimizer = torch.optim.SGD(layer.thetas("default"), 0.1)
    layer(torch.randn(3, D_IN)).square().sum().backward()
    optimizer.step()


class ThroughData(torch.optim.SGD):
    """An optimiser that writes where no version counter looks, as those of 8 bits do."""

    def step(self, closure=None):
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.data.add_(parameter.grad, alpha=-0.1)


def _hidden_step(layer):
    optimizer = ThroughData(layer.thetas("default"), 0.1)
    for theta in layer.thetas("default"):
        theta.grad = torch.randn_like(theta)
    optimizer.step()


CHANGES = {
    "optimiser step": _step,
    "optimiser step through .data": _hidden_step,
    "theta in place": lambda layer: layer.thetas("default")[1].detach().mul_(2),
    "new theta data": lambda layer: setattr(layer.thetas("default")[0], "data", torch.randn(5, D_IN - 8)),
    "new theta": lambda layer: layer.neat_theta["default"].__setitem__(1, nn.Parameter(torch.randn(5, D_IN - 8))),
    "weight in place": lambda layer: layer.base_layer.weight.detach().mul_(1.5),
    "new weight data": lambda layer: setattr(layer.base_layer.weight, "data", torch.randn(D_IN - 8, D_IN)),
    "state dict": lambda layer: layer.load_state_dict({k: v * 0.5 for k, v in layer.state_dict().items()}),
    "merge and unmerge": lambda layer: (layer.merge(), layer.unmerge()),
    "drawn anew": lambda layer: (layer.reset_parameters("default"), fill(layer)),
    "double": lambda layer: layer.double().float(),
}
EDITS = {
    "theta": lambda layer: layer.thetas("default")[0].data.add_(0.5),
    "theta flipped": lambda layer: layer.thetas("default")[1].data.copy_(layer.thetas("default")[1].flip(1)),
    "weight": lambda layer: layer.base_layer.weight.data.mul_(1.5),
    "weight rows flipped": lambda layer: layer.base_layer.weight.data.copy_(layer.base_layer.weight.flip(0)),
}
LOOKED_FOR = {
    "refresh": lambda layer: layer.refresh(),
    "evaluation": lambda layer: layer.train(not layer.training),
    "activation of an adapter": lambda layer: layer.set_adapter("default"),
    "merge and unmerge": lambda layer: (layer.merge(), layer.unmerge()),
    "load": lambda layer: layer.load_state_dict(layer.state_dict()),
    "cast": lambda layer: layer.double().float(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
@pytest.mark.parametrize("grad", [True, False])
def test_what_was_kept_is_let_go_when_anything_changes(change, grad):
    _model, layer = adapted(activation="tanh")
    assert_seen(layer, change, grad)


@pytest.mark.parametrize("look", LOOKED_FOR.values(), ids=LOOKED_FOR.keys())
@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS.keys())
@pytest.mark.parametrize("grad", [True, False])
def test_edits_through_data_are_seen_where_they_are_looked_for(edit, look, grad):
    _model, layer = adapted(activation="tanh")
    assert_seen(layer, lambda layer: (edit(layer), look(layer)), grad)


@pytest.mark.parametrize("name", ["theta", "theta flipped"])
def test_training_sees_edits_of_theta_through_data_at_once(name):
    _model, layer = adapted(activation="tanh")
    assert_seen(layer, EDITS[name], grad=True)


def assert_seen(layer, change, grad):
    """What the layer computes after the change is that of its tensors as they are then."""
    x = torch.randn(4, D_IN)
    with torch.set_grad_enabled(grad):
        before = layer(x)
    change(layer)
    with torch.set_grad_enabled(grad):
        after = layer(x)
    assert torch.allclose(after, exact(layer, x), atol=1e-5)
    assert change is CHANGES["double"] or change is CHANGES["merge and unmerge"] or not torch.allclose(after, before)


def test_a_learned_activation_and_the_scaling_count_as_changes_too():
    _, layer = adapted(activation="prelu")
    x = torch.randn(4, D_IN)
    with torch.no_grad():
        before = layer(x)
        next(layer.neat_activation["default"].parameters()).fill_(0.9)
        learned = layer(x)
        layer.neat_config["default"].scaling = 3.0
        scaled = layer(x)
    assert not torch.allclose(learned, before)
    base = layer.base_layer(x)
    assert torch.allclose(scaled - base, 3 * (learned - base), atol=1e-5)


def test_inference_mode_and_training_take_turns():
    _model, layer = adapted(activation="tanh")
    x = torch.randn(4, D_IN)
    with torch.inference_mode():
        inferred = layer(x).clone()
    assert torch.allclose(layer(x), inferred.clone(), atol=1e-6)
    layer(x).sum().backward()
    assert layer.thetas("default")[0].grad is not None


def test_a_small_change_of_a_bfloat16_theta_is_seen():
    layer = get_peft_model(
        Net().bfloat16(), NeatConfig(r=5, target_modules=["lin"]), autocast_adapter_dtype=False
    ).base_model.model.lin
    fill(layer)
    x, seen = torch.randn(4, D_IN).bfloat16(), []
    with torch.no_grad():
        for _ in range(20):
            seen.append(layer(x))
            layer.thetas("default")[1].add_(0.01)
    assert all(not torch.equal(a, b) for a, b in pairwise(seen))


def test_a_temporary_theta_at_the_address_of_the_last_is_another():
    """torch.func puts other tensors in the place of the parameters; the next ones may lie where those lay."""
    _model, layer = adapted(activation="tanh")
    x, names = torch.randn(4, D_IN), [name for name, _ in layer.named_parameters() if "theta" in name]
    with torch.no_grad():
        for scale in range(1, 8):
            other = {name: torch.full_like(layer.get_parameter(name), scale / 10) for name in names}
            found = torch.func.functional_call(layer, other, (x,))
            for name in names:
                layer.get_parameter(name).copy_(other.pop(name))
            assert torch.allclose(found, exact(layer, x), atol=1e-5)


def test_copies_keep_nothing():
    model, layer = adapted()
    with torch.no_grad():
        model(torch.randn(2, D_IN))
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        memos = [memo for memos in other.neat_memo.values() for memo in memos]
        assert memos and not any(memo._value for memo in memos)


def test_a_change_between_training_and_evaluation_forgets(products):
    _, layer = adapted()
    layer(torch.randn(2, D_IN)).sum().backward()
    layer.train()
    layer(torch.randn(2, D_IN))  # a second micro-batch
    assert len(products) == 1
    layer.eval()
    layer(torch.randn(2, D_IN))
    assert len(products) == 2


def test_gradients_by_torch_func():
    _, layer = adapted(depth=4, activation="tanh")
    x, thetas = torch.randn(3, D_IN), dict(layer.named_parameters())
    found = torch.func.grad(lambda p: torch.func.functional_call(layer, p, (x,)).square().sum())(thetas)
    layer(x).square().sum().backward()
    for name, parameter in layer.named_parameters():
        if "theta" in name:
            assert torch.allclose(found[name], parameter.grad, atol=1e-4)


@pytest.mark.parametrize("reentrant", [True, False])
def test_gradient_checkpointing(reentrant):
    _model, layer = adapted(depth=4, activation="gelu")
    x = torch.randn(4, D_IN, requires_grad=True)
    layer(x).square().sum().backward()
    plain = [theta.grad.clone() for theta in layer.thetas("default")]
    layer.zero_grad()
    checkpoint(layer, x, use_reentrant=reentrant).square().sum().backward()
    for theta, grad in zip(layer.thetas("default"), plain, strict=True):
        assert torch.allclose(theta.grad, grad, atol=1e-5)


@pytest.mark.parametrize("settings", [{}, {"depth": 6, "activation": "gelu"}, {"orientation": "in"}])
def test_compiles_without_a_graph_break(settings):
    _model, layer = adapted(**settings)
    x = torch.randn(4, D_IN)
    explained = torch._dynamo.explain(layer)(x)
    assert explained.graph_break_count == 0
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    assert torch.allclose(compiled(x), layer(x), atol=1e-6)
    compiled(x).square().sum().backward()
    found = [theta.grad.clone() for theta in layer.thetas("default")]
    layer.zero_grad()
    layer(x).square().sum().backward()
    for theta, grad in zip(layer.thetas("default"), found, strict=True):
        assert torch.allclose(theta.grad, grad, atol=1e-5)


@pytest.mark.parametrize("orientation", ["out", "in"])
@pytest.mark.parametrize("autocast_adapter", [True, False])
def test_bfloat16_base(orientation, autocast_adapter):
    net = Net().to(torch.bfloat16)
    config = NeatConfig(r=5, orientation=orientation, target_modules=["lin"])
    layer = get_peft_model(net, config, autocast_adapter_dtype=autocast_adapter).base_model.model.lin
    fill(layer)
    x = torch.randn(4, D_IN, dtype=torch.bfloat16)
    result = layer(x)
    assert result.dtype == torch.bfloat16
    thetas = [theta.float() for theta in paper_thetas(layer)]
    delta = neat_delta(layer.base_weight().float(), thetas, orientation=orientation)
    expected = nn.functional.linear(x.float(), layer.base_weight().float() + delta, layer.base_layer.bias.float())
    assert torch.allclose(result.float(), expected, atol=0.05, rtol=0.05)
    result.float().square().sum().backward()
    assert all(torch.isfinite(theta.grad).all() for theta in layer.thetas("default"))


def test_autocast_gives_the_bases_precision_and_float32_gradients():
    _model, layer = adapted()
    x = torch.randn(4, D_IN)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = layer(x)
    assert result.dtype == torch.bfloat16
    assert torch.allclose(result.float(), layer(x), atol=0.1, rtol=0.05)
    result.float().sum().backward()
    assert layer.thetas("default")[0].grad.dtype == torch.float32


@pytest.mark.parametrize("rows", [3, 256, 300])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_half_precision_weight_is_raised_in_blocks_where_there_are_no_kernels_for_it(rows, dtype, monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    weight = torch.randn(rows, 37).to(dtype)
    for side in (weight, weight.T):
        theta = torch.randn(4, side.shape[0])
        assert torch.allclose(hidden.thin_product(theta, side), theta @ side.float(), atol=1e-4)


def test_a_weight_in_another_precision_is_never_copied_whole():
    weight, theta = torch.randn(400, 300, dtype=torch.double), torch.randn(4, 400)
    assert torch.allclose(hidden.thin_product(theta, weight), theta @ weight.float(), atol=1e-3)
    assert largest_temporary(lambda: hidden.thin_product(theta, weight)) < weight.numel()


def test_a_theta_of_another_type_or_without_values_is_no_old_one():
    _model, layer = adapted(activation="tanh")
    x = torch.randn(4, D_IN)
    layer(x)
    for theta in layer.thetas("default"):
        theta.data = theta.data.double()
    assert torch.isfinite(layer.factors("default").left).all()
    with FakeTensorMode(allow_non_fake_inputs=True):
        assert layer(torch.randn(4, D_IN)).shape == (4, layer.out_features)


def test_a_bfloat16_weight_is_multiplied_in_its_precision_where_there_are(monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    weight, theta = torch.randn(300, 37).bfloat16(), torch.randn(4, 300)
    found, exact = hidden.thin_product(theta, weight), theta @ weight.float()
    assert found.dtype == torch.float32
    assert 0 < (found - exact).norm() / exact.norm() < 2**-7  # two roundings to eight bits


def wide(config):
    """A frozen 512 → 384 layer under an adapter, and its input of 2,048 tokens."""
    torch.manual_seed(0)
    net = nn.Sequential()
    net.add_module("lin", nn.Linear(512, 384))
    model = get_peft_model(net.requires_grad_(False), config)
    return model, torch.randn(1, 2048, 512, requires_grad=True)


CONFIGS = {
    "lora": LoraConfig(r=8, target_modules=["lin"]),
    "neat": NeatConfig(r=8, target_modules=["lin"]),
    "neat-in": NeatConfig(r=8, orientation="in", target_modules=["lin"]),
    "neat-6": NeatConfig(r=8, depth=6, target_modules=["lin"]),
    "peanut": PeanutConfig(r=8, target_modules=["lin"]),
}


def counts(config):
    model, x = wide(config)
    saved = saved_bytes(lambda: model(x), [x, *model.parameters()])
    return saved, model, x


def test_the_peak_is_what_is_held_at_once():
    assert 12_000 <= peak_bytes(lambda: [torch.empty(1000) for _ in range(3)]) < 12_100
    assert 8_000 <= peak_bytes(lambda: torch.ones(1000).add(1).mul(2)) < 8_100  # the first is gone before the third


@pytest.mark.parametrize("name", ["neat", "neat-in", "neat-6"])
@pytest.mark.parametrize("tokens", [64, 2048])
def test_a_step_never_holds_more_than_loras(name, tokens):
    peaks = {}
    for one in ("lora", name):
        model, x = wide(CONFIGS[one])
        x = x[:, :tokens].detach().requires_grad_()
        peaks[one] = peak_bytes(lambda model=model, x=x: model(x).sum().backward())
    assert peaks[name] < peaks["lora"]


@pytest.mark.parametrize("name", ["neat", "neat-in", "neat-6"])
def test_saves_for_backward_what_lora_does_and_r_wide_activations(name):
    lora, neat = counts(CONFIGS["lora"])[0], counts(CONFIGS[name])[0]
    depth = CONFIGS[name].depth
    thin = 4 * 8 * (512 + 384)  # bytes of one r-wide activation on either side
    assert lora == 4 * 2048 * 8
    assert lora < neat <= lora + thin * (2 * depth)
    assert counts(CONFIGS["peanut"])[0] >= 4 * 512 * 384


@pytest.mark.parametrize("name", ["neat", "neat-in", "neat-6"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_no_temporary_as_large_as_the_weight(name, dtype):
    """With 8 tokens nothing that grows with the batch hides a d_out × d_in tensor."""

    def largest(config):
        model, x = wide(config)
        model.base_model.model.lin.base_layer.to(dtype)
        x = x[:, :8].detach().to(dtype).requires_grad_()
        return largest_temporary(lambda: model(x).float().sum().backward())

    limit = 8 * 512 if dtype == torch.float32 else hidden.BLOCK_ROWS * 512  # a block of the raised weight
    assert largest(CONFIGS[name]) <= limit < 512 * 384
    assert largest(CONFIGS["peanut"]) >= 512 * 384


def test_autocast_makes_no_copy_of_the_weight_but_the_base_layers():
    def largest(module, x):
        def work():
            with torch.autocast("cpu", dtype=torch.bfloat16):
                return module(x)

        return largest_temporary(work)

    model, x = wide(CONFIGS["neat"])
    layer, x = model.base_model.model.lin, x[:, :8]
    layer.base_layer = nn.Identity()  # leaves the adapter's own work, on a result of the right width
    layer.base_layer.weight = nn.Parameter(torch.randn(384, 512), requires_grad=False)
    layer.base_layer.forward = lambda x: torch.zeros(*x.shape[:-1], 384, dtype=torch.bfloat16)
    assert largest(layer, x) <= 8 * 512


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("name", sorted(hidden.ROUND_ONCE))
def test_what_rounds_once_is_the_same_in_half_precision_to_a_rounding(name, dtype):
    sigma, step = hidden.make_activation(name), torch.finfo(dtype).eps
    half = (3 * torch.randn(8, 256)).to(dtype).requires_grad_()
    whole = half.detach().float().requires_grad_()
    grad = torch.randn(8, 256).to(dtype)
    results = sigma(half), sigma(whole)
    results[0].backward(grad)
    results[1].backward(grad.float())
    for rounded, exact in (results, (half.grad, whole.grad)):
        assert rounded.dtype == dtype
        assert torch.allclose(rounded.float(), exact, rtol=step, atol=step)
