"""NEAT on embeddings and convolutions against the paper's equation on their weight as a matrix."""

import copy

import pytest
import torch
from peft import PeftModel, get_peft_model
from torch import nn
from torch.func import functional_call

from neatlab.adapters.convert import neat_to_lora, neat_to_peanut
from neatlab.adapters.neat import NeatConfig
from neatlab.errors import BadInput
from tests.oracles import neat_delta
from tests.test_neat import as_in_paper

TOKENS, WIDTH = 40, 12


def maps(*shape: int) -> torch.Tensor:
    return torch.randn(shape, requires_grad=True)


# What to adapt, and an input for it.
BASES = {
    "embedding": (lambda: nn.Embedding(TOKENS, WIDTH, padding_idx=0), lambda: torch.randint(TOKENS, (3, 5))),
    "every-row": (lambda: nn.Embedding(TOKENS, WIDTH), lambda: torch.arange(2 * TOKENS).view(2, -1) % TOKENS),
    "conv1d": (lambda: nn.Conv1d(6, 8, 3, stride=2, padding=1, dilation=2), lambda: maps(2, 6, 15)),
    "conv2d": (lambda: nn.Conv2d(4, 10, (3, 2), stride=(2, 1), padding="valid"), lambda: maps(2, 4, 9, 8)),
    "circular": (lambda: nn.Conv2d(4, 6, 3, padding=1, padding_mode="circular", bias=False), lambda: maps(2, 4, 5, 5)),
    "strided": (lambda: nn.Conv1d(6, 8, 3, stride=2, padding=2), lambda: maps(2, 6, 15)),
    "one-window": (lambda: nn.Conv2d(4, 6, 1), lambda: maps(2, 4, 5, 5)),
}
VARIANTS = {
    "out": {"orientation": "out"},
    "in": {"orientation": "in", "depth": 2},
    "free": {"conditioning": "none", "activation": "linear"},
    "auto": {"orientation": "auto", "residual": "none", "depth": 3},
}


@pytest.fixture(params=BASES)
def kind(request):
    return request.param


def adapted(layer, **settings):
    """A net of one layer with a NEAT adapter that changes its output, and the adapted layer."""
    settings = {"r": 3, "depth": 4, "activation": "tanh", "init_weights": False, "scaling": 0.7, **settings}
    torch.manual_seed(1)
    model = get_peft_model(nn.Sequential(layer), NeatConfig(target_modules=["0"], **settings))
    return model, model.base_model.model[0]


def as_matrix(layer, weight):
    """The weight as d_out × d_in, written out anew."""
    if isinstance(layer, nn.Embedding):
        return weight.T
    return weight.reshape(weight.shape[0], -1)


def oracle(layer, thetas, variant):
    """W₀ + ΔW in the layout of the layer's weight, as the paper writes ΔW."""
    config = {"depth": 4, "activation": "tanh", "scaling": 0.7, "orientation": "out", **variant}
    matrix = as_matrix(layer, layer.weight.detach())
    if config["orientation"] == "auto":
        config["orientation"] = "out" if matrix.shape[0] <= matrix.shape[1] else "in"
    delta = neat_delta(
        matrix,
        thetas,
        config["activation"],
        config.get("residual", "paired"),
        config["orientation"],
        config.get("conditioning", "weight"),
        config["scaling"],
    )
    return layer.weight.detach() + (delta.T if isinstance(layer, nn.Embedding) else delta.view(layer.weight.shape))


@pytest.mark.parametrize("name", VARIANTS)
def test_output_and_gradients_are_those_of_the_equation(kind, name):
    make, batch = BASES[kind]
    layer, x = make(), batch()
    model, tuner = adapted(copy.deepcopy(layer), **VARIANTS[name])
    thetas = [theta.requires_grad_() for theta in as_in_paper(tuner.thetas("default"))]
    weight = oracle(layer, thetas, VARIANTS[name])
    expected = functional_call(layer, {"weight": weight}, (x,))
    result = model(x)
    assert torch.allclose(result, expected, atol=1e-5)
    assert not torch.allclose(result, layer(x), atol=1e-2)
    grad = torch.randn_like(result)
    if kind == "embedding":
        grad[x == 0] = 0  # torch gives a padding row no gradient, which a look-up in ΔW follows
    inputs = [x] if x.requires_grad else []
    wanted = torch.autograd.grad(expected, [*inputs, *thetas], grad)
    found = torch.autograd.grad(result, [*inputs, *tuner.thetas("default")], grad)
    for i, (a, b) in enumerate(zip(found, wanted, strict=True)):
        is_turned = i >= len(inputs) and i < len(found) - 1  # all but Θ_L are stored transposed
        assert torch.allclose(a.T if is_turned else a, b, atol=1e-4)


@pytest.mark.parametrize("name", VARIANTS)
def test_evaluation_merging_and_unmerging_agree(kind, name):
    make, batch = BASES[kind]
    model, tuner = adapted(make(), **VARIANTS[name])
    x, weight = batch(), tuner.base_layer.weight.detach().clone()
    trained = model(x)
    model.eval()
    with torch.no_grad():
        served = model(x)
        assert torch.allclose(served, trained, atol=1e-5)
        assert tuner.get_delta_weight("default").shape == weight.shape
        model.merge_adapter(safe_merge=True)
        assert torch.allclose(model(x), served, atol=1e-5)
        model.unmerge_adapter()
        assert torch.equal(tuner.base_layer.weight, weight)
        assert torch.equal(model(x), served)


def test_a_start_changes_nothing(kind):
    make, batch = BASES[kind]
    layer, x = make(), batch()
    model, _ = adapted(copy.deepcopy(layer), init_weights=True)
    assert torch.equal(model(x), layer(x))


def test_rows_of_a_batch_have_adapters_of_their_own(kind):
    make, batch = BASES[kind]
    model, _ = adapted(make())
    model.add_adapter("other", NeatConfig(r=2, init_weights=False, target_modules=["0"]))
    model.eval()
    x = batch()
    with torch.no_grad():
        mixed = model(x, adapter_names=["other", "default", "__base__"][: len(x)])
        assert torch.allclose(mixed[1], model(x)[1], atol=1e-6)
        model.set_adapter("other")
        assert torch.allclose(mixed[0], model(x)[0], atol=1e-6)


def test_it_is_saved_loaded_and_given_away_as_a_lora(kind, tmp_path):
    make, batch = BASES[kind]
    layer, x = make(), batch()
    model, _ = adapted(copy.deepcopy(layer))
    model.save_pretrained(tmp_path / "neat", save_embedding_layers=False)
    if kind in ("conv1d", "circular"):
        with pytest.raises(BadInput, match=r"layer 0 has dilation .* PEFT's LoRA has dilation 1 and zeros there"):
            neat_to_lora(model, tmp_path / "lora")
        folders = ["neat"]
    else:
        neat_to_lora(model, tmp_path / "lora")
        folders = ["neat", "lora"]
    for folder in folders:
        again = PeftModel.from_pretrained(nn.Sequential(copy.deepcopy(layer)), tmp_path / folder)
        assert torch.allclose(again(x), model.eval()(x), atol=1e-5)
    assert again.peft_config["default"].peft_type == folders[-1].upper()


def test_two_together_are_their_sum(kind):
    make, batch = BASES[kind]
    model, tuner = adapted(make(), r=2)
    model.add_adapter("other", NeatConfig(r=1, depth=4, activation="tanh", init_weights=False, target_modules=["0"]))
    model.add_weighted_adapter(["default", "other"], [0.5, -2.0], "sum")
    x = batch()
    with torch.no_grad():
        deltas = {name: tuner.get_delta_weight(name) for name in ("default", "other", "sum")}
        assert torch.allclose(deltas["sum"], 0.5 * deltas["default"] - 2 * deltas["other"], atol=1e-5)
        model.set_adapter("sum")
        assert torch.allclose(
            model(x),
            functional_call(tuner.base_layer, {"weight": tuner.base_layer.weight + deltas["sum"]}, (x,)),
            atol=1e-5,
        )


def test_an_embedding_meets_the_rows_of_the_batch_and_no_others(monkeypatch):
    model, tuner = adapted(nn.Embedding(1000, WIDTH))
    columns = []
    hidden = tuner.hidden
    monkeypatch.setattr(
        tuner, "hidden", lambda name, product: columns.append(product.shape[1]) or hidden(name, product)
    )
    model(torch.randint(1000, (2, 7)))
    assert columns == [14]


@pytest.mark.parametrize("orientation", ["out", "in"])
def test_padding_gives_the_same_gradients_in_a_short_batch_and_in_a_long_one(orientation):
    model, tuner = adapted(nn.Embedding(TOKENS, WIDTH, padding_idx=0), orientation=orientation)
    with torch.no_grad():
        tuner.base_layer.weight[0] = 1  # a row of padding that is not zero, as in some models
    x = torch.tensor([[0, 3, 0, 5]])
    grad = torch.randn(1, 4, WIDTH)
    short = torch.autograd.grad(model(x), tuner.thetas("default"), grad)
    more = torch.randint(TOKENS, (1, 2 * TOKENS))
    long_grad = torch.cat([grad, torch.zeros(1, 2 * TOKENS, WIDTH)], dim=1)
    long = torch.autograd.grad(model(torch.cat([x, more], dim=1)), tuner.thetas("default"), long_grad)
    for a, b in zip(short, long, strict=True):
        assert torch.allclose(a, b, atol=1e-5)


def test_an_embedding_that_scales_what_it_looks_up_scales_the_update():
    layer = nn.Embedding(TOKENS, WIDTH)
    model, tuner = adapted(layer)
    plain = model(torch.arange(4))
    layer.embed_scale = torch.tensor(3.0)
    update = tuner.get_delta_weight("default")[:4]
    assert torch.allclose(model(torch.arange(4)) - plain, 2 * update, atol=1e-5)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (nn.Conv2d(4, 4, 3, groups=2), "groups=2; NEAT adapts convolutions with groups=1"),
        (nn.Embedding(9, 4, max_norm=1.0), "max_norm=1.0; NEAT adapts embeddings without it"),
        (nn.Embedding(9, 4, sparse=True), "sparse=True; NEAT adapts embeddings without it"),
        (nn.Embedding(9, 4, scale_grad_by_freq=True), "scale_grad_by_freq=True; NEAT adapts embeddings without it"),
    ],
)
def test_what_it_cannot_adapt_is_refused_by_name(layer, message):
    with pytest.raises(BadInput, match=f"target module '0' has {message}"):
        adapted(layer)


def test_a_rank_above_the_matrix_is_refused():
    with pytest.raises(BadInput, match="r=7 on target module '0', a layer of 6 × 36; allowed there: 1 to 6"):
        adapted(nn.Conv2d(4, 6, 3), r=7)


def test_peanut_does_not_take_them(tmp_path):
    model, _ = adapted(nn.Conv2d(4, 6, 3), activation="relu")
    with pytest.raises(BadInput, match=r"layer 0 is a Conv2d; this conversion takes nn\.Linear"):
        neat_to_peanut(model, tmp_path / "peanut")
