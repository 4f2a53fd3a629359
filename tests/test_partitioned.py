"""DeepSpeed's ZeRO-3, by a stand-in: parameters are empty but while a module's forward reads them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from peft import PeftModel, get_peft_model
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from neatlab.adapters.attach import quiet_peft
from neatlab.adapters.neat import NeatConfig
from neatlab.errors import BadInput
from tests.models import MODELS

LLAMA = MODELS["llama"]
KINDS: dict[str, Callable[[], nn.Module]] = {
    "linear": lambda: nn.Linear(12, 8),
    "Conv1D": lambda: Conv1D(8, 12),
    "embedding": lambda: nn.Embedding(20, 8),
    "conv1d": lambda: nn.Conv1d(4, 8, 3),
    "conv2d": lambda: nn.Conv2d(3, 8, 3),
}
INPUTS = {
    "linear": torch.ones(2, 12),
    "Conv1D": torch.ones(2, 12),
    "embedding": torch.arange(3),
    "conv1d": torch.ones(2, 4, 9),
    "conv2d": torch.ones(2, 3, 5, 5),
}


def partition(module: nn.Module) -> None:
    """Leave the parameters as DeepSpeed does: the shape in `ds_shape`, the numbers elsewhere."""
    for number, parameter in enumerate(module.parameters()):
        if not hasattr(parameter, "ds_id"):
            parameter.ds_id, parameter.ds_shape, parameter.ds_full = number, parameter.shape, parameter.data
        parameter.data = torch.empty(0)


def gather(parameter: Any) -> None:
    parameter.data = parameter.ds_full


class Gathering(dict):
    """What ZeRO-3 puts in the place of a module's parameters: during a step they are gathered when they are read."""

    is_in_forward = False

    def __getitem__(self, key: str) -> Any:
        parameter = super().__getitem__(key)
        if self.is_in_forward and parameter is not None and not parameter.numel():
            gather(parameter)
        return parameter


@contextmanager
def engine(model: nn.Module) -> Iterator[None]:
    """The forward pass of DeepSpeed's engine: what a module has read goes at its end, and is back for the backward."""
    modules = list(model.modules())
    partition(model)
    for module in modules:
        module._parameters = Gathering(module._parameters)
        module._parameters.is_in_forward = True
    hooks = [module.register_forward_hook(lambda module, *_: partition(module)) for module in modules]
    yield
    for hook in hooks:
        hook.remove()
    for parameter in model.parameters():
        parameter.data = parameter.ds_full.clone()


def net(kind: str) -> nn.Module:
    return nn.Sequential(KINDS[kind]())


def adapted(base: nn.Module, **settings: Any) -> PeftModel:
    torch.manual_seed(0)
    return get_peft_model(base, NeatConfig(**{"r": 3, "init_weights": False, "target_modules": ["0"], **settings}))


@pytest.mark.parametrize("kind", KINDS)
def test_a_base_that_was_loaded_in_partitions_gets_the_adapter_of_the_whole(kind: str) -> None:
    base = net(kind)
    partition(base)
    partitioned, whole = (adapted(model).base_model.model[0] for model in (base, net(kind)))
    assert (partitioned.out_features, partitioned.in_features) == (whole.out_features, whole.in_features)
    pairs = zip(partitioned.thetas("default"), whole.thetas("default"), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("settings", [{}, {"conditioning": "none"}], ids=["weight", "free"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_read_while_it_is_partitioned_is_refused(kind: str, settings: dict[str, Any]) -> None:
    model = adapted(net(kind), **settings)
    layer = model.base_model.model[0]
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    partition(model)
    base, layer.base_layer.forward = layer.base_layer.forward, lambda *_: torch.zeros(2, 3, 8)  # DeepSpeed gathers it
    for read in (lambda: layer.get_delta_weight("default"), model.merge_adapter, lambda: model(INPUTS[kind])):
        with pytest.raises(BadInput, match=r"ZeRO-3 has partitioned W₀ and Θ.*deepspeed\.zero\.GatheredParameters"):
            read()
    layer.base_layer.forward = base
    for parameter in model.parameters():
        gather(parameter)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not layer.merged


def gradients(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("settings", [{}, {"depth": 4, "activation": "prelu", "orientation": "in"}], ids=str)
def test_a_step_of_the_engine_computes_what_the_whole_does(settings: dict[str, Any]) -> None:
    with quiet_peft():
        model = adapted(LLAMA.build(), target_modules=LLAMA.targets, **settings)
    LLAMA.loss(model).backward()
    whole = gradients(model)
    model.zero_grad()
    with engine(model):
        loss = LLAMA.loss(model)
        assert not any(parameter.numel() for parameter in model.parameters())
    loss.backward()
    assert whole and gradients(model).keys() == whole.keys()
    for name, grad in gradients(model).items():
        assert torch.allclose(grad, whole[name], atol=1e-6), name
