"""Put an adapter on a model, and read from it what the lab shows: parameters and ΔW of each layer."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import torch
from peft import PeftModel, get_peft_model
from peft.tuners.lora import Linear as LoraLinear
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from neatlab.adapters.factors import Factors
from neatlab.adapters.methods import METHODS
from neatlab.adapters.neat import NeatLinear
from neatlab.errors import BadInput
from neatlab.schema import Schema


@dataclass(frozen=True)
class Adapted:
    """A model ready to train, and the weights that it started from.

    Args:
        model: The wrapped model; the plain one for `full` and `head`.
        layers: Name of each target layer in the base model → W₀ (d_out × d_in).
        head: Names of the modules that train whole beside the adapter.
    """

    model: nn.Module
    layers: dict[str, Tensor]
    head: tuple[str, ...]

    def head_parameters(self) -> list[nn.Parameter]:
        """Trainable parameters of the head."""
        return [p for name, p in self._trainable() if self._in_head(name)]

    def adapter_parameters(self) -> list[nn.Parameter]:
        """Trainable parameters outside the head."""
        return [p for name, p in self._trainable() if not self._in_head(name)]

    def deltas(self) -> dict[str, Factors | Tensor]:
        """ΔW of each adapted layer: thin factors where the method has them, else dense; {} for `head`."""
        with torch.no_grad():
            if isinstance(self.model, PeftModel):
                return {_base_name(n): _delta(m) for n, m in _tuner_layers(self.model)}
            trained = {name for name, p in self._trainable()}
            modules = dict(self.model.named_modules())
            return {n: modules[n].weight - w for n, w in self.layers.items() if f"{n}.weight" in trained}

    def _trainable(self) -> Iterator[tuple[str, nn.Parameter]]:
        return ((name, p) for name, p in self.model.named_parameters() if p.requires_grad)

    def _in_head(self, name: str) -> bool:
        return any(part in self.head for part in name.split("."))


def attach(model: nn.Module, method: str, options: Schema, targets: list[str], head: list[str]) -> Adapted:
    """Freeze `model` and make it trainable the way `method` does.

    Args:
        model: The base model; changed in place.
        method: A key of METHODS.
        options: Its options.
        targets: Names of the layers to adapt, matched as PEFT does.
        head: Names of the modules that train whole.

    Returns:
        The adapted model.

    Raises:
        BadInput: A rank above a target layer's size, or targets that the model does not have.
    """
    row = METHODS[method]
    layers = {name: m.weight for name, m in model.named_modules() if name.split(".")[-1] in targets}
    if not layers:
        raise BadInput(f"no layer of the model is named {' or '.join(targets)}")
    model.requires_grad_(row.trains == "all")
    if row.config is None:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(row.trains == "all" or any(part in head for part in name.split(".")))
        return Adapted(model, {n: w.detach().clone() for n, w in layers.items()}, tuple(head))
    _check_rank(options, layers)
    config = row.config(options, targets)
    config.modules_to_save = head or None  # type: ignore[attr-defined]  # every tuner's config has the field
    base = {name: weight.detach() for name, weight in layers.items()}
    return Adapted(get_peft_model(model, config), base, tuple(head))


def _check_rank(options: Schema, layers: dict[str, Tensor]) -> None:
    rank = getattr(options, "rank", 1)
    for name, weight in layers.items():
        if rank > min(weight.shape):
            size = " × ".join(str(n) for n in weight.shape)
            raise BadInput(f"rank={rank} is above the size of layer {name} ({size}); allowed: 1 to {min(weight.shape)}")


def _tuner_layers(model: nn.Module) -> Iterator[tuple[str, BaseTunerLayer]]:
    return ((name, m) for name, m in model.named_modules() if isinstance(m, BaseTunerLayer))


def _base_name(name: str) -> str:
    return name.removeprefix("base_model.model.")


def _delta(layer: BaseTunerLayer) -> Factors | Tensor:
    adapter, tuner = layer.active_adapters[0], cast(Any, layer)
    if isinstance(layer, NeatLinear):
        return layer.factors(adapter)
    if isinstance(layer, LoraLinear) and not layer.lora_variant:
        return Factors(tuner.lora_B[adapter].weight * tuner.scaling[adapter], tuner.lora_A[adapter].weight)
    return tuner.get_delta_weight(adapter)
