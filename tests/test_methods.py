"""What every method in METHODS must do, on every tiny model: a new row is tested by being there."""

import copy

import pytest
import torch
from peft import PeftModel

from neatlab.adapters.attach import Adapted, attach, quiet_peft, target_shapes, weight_of
from neatlab.adapters.factors import Factors
from neatlab.adapters.forms import FORMS
from neatlab.adapters.methods import METHODS
from neatlab.analysis.spectra import spectrum
from neatlab.errors import BadInput
from neatlab.schema import Schema
from tests.models import GPT2, MODELS, Tiny

SMALL = {"rank": 2, "n_frequency": 20, "block_size": 4}  # what sets a method's size → a size for tiny models
ADAPTERS = [name for name, row in METHODS.items() if row.config is not None]

adapters = pytest.mark.parametrize("method", ADAPTERS)
methods = pytest.mark.parametrize("method", METHODS)
models = pytest.mark.parametrize("tiny", MODELS.values(), ids=MODELS)


def options(method: str, **changes) -> Schema:
    schema = METHODS[method].options
    return schema(**{**{name: size for name, size in SMALL.items() if name in schema.model_fields}, **changes})


def build(method: str, tiny: Tiny, **changes) -> Adapted:
    return attach(tiny.build(), method, options(method, **changes), tiny.targets, tiny.head)


def shaken(adapted: Adapted) -> Adapted:
    """Every trainable parameter moved by noise, as training would."""
    with torch.no_grad():
        for parameter in [*adapted.adapter_parameters(), *adapted.head_parameters()]:
            parameter += 0.1 * torch.randn_like(parameter)
    return adapted


def dense(delta: Factors | torch.Tensor) -> torch.Tensor:
    return delta.dense() if isinstance(delta, Factors) else delta


def close(a: torch.Tensor, b: torch.Tensor, tolerance: float = 1e-5) -> bool:
    return bool(((a - b).abs().max() <= tolerance * (1 + b.abs().max())).item())


@methods
@models
def test_starts_at_the_checkpoint(method, tiny):
    adapted = build(method, tiny)
    deltas = adapted.deltas()
    assert close(tiny.logits(adapted.model), tiny.logits(tiny.build()))
    assert set(deltas) == (set(adapted.layers) if method != "head" else set())
    assert all(dense(delta).abs().max() <= 1e-6 for delta in deltas.values())


@methods
@models
def test_layers_hold_the_weights_before_the_adapter(method, tiny):
    adapted, fresh = build(method, tiny), dict(tiny.build().named_modules())
    assert adapted.layers
    assert all(torch.equal(weight, weight_of(fresh[name])) for name, weight in adapted.layers.items())


@methods
@models
def test_only_adapter_and_head_train(method, tiny):
    adapted, base = build(method, tiny), dict(tiny.build().named_parameters())
    trained = {id(p) for p in [*adapted.adapter_parameters(), *adapted.head_parameters()]}
    assert trained == {id(p) for p in adapted.model.parameters() if p.requires_grad}
    frozen = {n: p for n, p in adapted.model.named_parameters() if not p.requires_grad}
    step(adapted, tiny, times=2)
    if METHODS[method].trains == "all":
        assert not frozen
    elif method != "pissa":  # which moves a part of W₀ into the adapter
        names = {n.removeprefix("base_model.model.").replace(".base_layer", ""): p for n, p in frozen.items()}
        kept = {n: p for n, p in names.items() if n in base}
        assert kept
        assert all(torch.equal(p, base[n]) for n, p in kept.items())


@methods
@models
def test_parameter_count_is_the_formulas(method, tiny):
    adapted, row = build(method, tiny), METHODS[method]
    shapes = target_shapes(tiny.build(), tiny.targets)
    assert shapes == {name: tuple(weight.shape) for name, weight in adapted.layers.items()}
    found = sum(p.numel() for p in adapted.adapter_parameters())
    if row.params is None:
        assert found == sum(p.numel() for p in adapted.model.parameters()) - sum(
            p.numel() for p in adapted.head_parameters()
        )
    else:
        assert found == sum(row.params(options(method), *shape) for shape in shapes.values())


@adapters
@models
def test_attached_equals_merged(method, tiny):
    adapted = shaken(build(method, tiny))
    expected, deltas = tiny.logits(adapted.model), adapted.deltas()
    merged = copy.deepcopy(adapted.model).merge_and_unload()
    modules = dict(merged.named_modules())
    assert close(tiny.logits(merged), expected)
    for name, delta in deltas.items():
        assert dense(delta).abs().max() > 1e-4
        assert close(adapted.layers[name] + dense(delta), weight_of(modules[name]))


@adapters
@models
def test_delta_leaves_the_model_alone(method, tiny):
    adapted = shaken(build(method, tiny))
    before = {name: tensor.clone() for name, tensor in adapted.model.state_dict().items()}
    first, second = adapted.deltas(), adapted.deltas()
    assert all(torch.equal(dense(first[name]), dense(second[name])) for name in first)
    assert all(torch.equal(tensor, before[name]) for name, tensor in adapted.model.state_dict().items())
    assert not any(dense(delta).requires_grad for delta in first.values())


@adapters
@models
def test_save_and_load(method, tiny, tmp_path):
    adapted = shaken(build(method, tiny))
    adapted.model.save_pretrained(tmp_path, save_embedding_layers=False)
    with quiet_peft():
        loaded = PeftModel.from_pretrained(tiny.build(), tmp_path)
    assert close(tiny.logits(loaded), tiny.logits(adapted.model), 1e-6)


@methods
@models
def test_every_adapter_parameter_has_a_gradient_by_step_two(method, tiny):
    adapted = build(method, tiny)
    moved = {id(p): False for p in adapted.adapter_parameters()}
    for _ in range(2):
        step(adapted, tiny)
        for parameter in adapted.adapter_parameters():
            moved[id(parameter)] |= parameter.grad is not None and bool(parameter.grad.abs().sum() > 0)
    silent = [n for n, p in adapted.model.named_parameters() if id(p) in moved and not moved[id(p)]]
    assert METHODS[method].trains == "all" or silent == []  # a whole model may have parts that its output skips


@adapters
@models
def test_loss_falls(method, tiny):
    adapted = attach(tiny.build(), method, options(method), tiny.targets, [])
    losses = step(adapted, tiny, times=12)
    assert losses[-1] < losses[0] - 1e-3


@adapters
@models
def test_spectra_are_finite_after_a_step(method, tiny):
    adapted = build(method, tiny)
    step(adapted, tiny, times=2)
    for name, delta in adapted.deltas().items():
        found = spectrum(delta)
        d_out, d_in = adapted.layers[name].shape
        assert torch.isfinite(found.singular_values).all()
        assert len(found.singular_values) <= min(d_out, d_in)
        assert 1 <= found.effective_rank <= min(d_out, d_in) + 1e-6


def step(adapted: Adapted, tiny: Tiny, times: int = 1) -> list[float]:
    parameters = [*adapted.adapter_parameters(), *adapted.head_parameters()]
    optimizer, losses = torch.optim.AdamW(parameters, lr=1e-2, weight_decay=0), []
    for _ in range(times):
        optimizer.zero_grad()
        loss = tiny.loss(adapted.model)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


@adapters
def test_conv1d_works_or_is_refused_by_name(method):
    if not METHODS[method].fits_conv1d:
        with pytest.raises(BadInput, match=method):
            build(method, GPT2)
        return
    adapted = shaken(build(method, GPT2))
    merged = copy.deepcopy(adapted.model).merge_and_unload()
    modules = dict(merged.named_modules())
    assert close(GPT2.logits(merged), GPT2.logits(adapted.model))
    for name, delta in adapted.deltas().items():
        assert close(adapted.layers[name] + dense(delta), weight_of(modules[name]))


@adapters
def test_has_every_part(method):
    row = METHODS[method]
    assert row.delta is not None and row.files is not None and row.params is not None
    assert row.config(options(method), ["query"]).peft_type == row.files.type
    assert "merged" in row.forms and set(row.forms) <= set(FORMS)
    assert row.size is None or row.size in SMALL, f"{method}: give a small {row.size} to SMALL"


@adapters
@models
def test_a_form_with_thin_factors_has_thin_factors(method, tiny):
    """`lora` needs ΔW as a product, or magnitudes beside one; whatever is one can be written as LoRA."""
    adapted, row = build(method, tiny), METHODS[method]
    thin = all(isinstance(d, Factors) for d in adapted.deltas().values())
    assert ("lora" in row.forms) == (thin or row.magnitudes)
