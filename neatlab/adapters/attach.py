"""Put an adapter on a model, and read from it what the lab shows: parameters and ΔW of each layer."""

import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from peft import PeftConfig, PeftModel, get_peft_model
from peft.tuners.trainable_tokens import TrainableTokensLayer
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from neatlab.adapters.deltas import delta, initial_factors, network
from neatlab.adapters.factors import Delta, Factors
from neatlab.adapters.methods import METHODS, Method
from neatlab.adapters.methods.base import Network
from neatlab.adapters.neat import NeatLayer
from neatlab.adapters.placement import place
from neatlab.errors import BadInput
from neatlab.schema import Schema

Layers = dict[str, nn.Linear | Conv1D]


@dataclass(frozen=True)
class Adapted:
    """A model ready to train, and the weights that it started from.

    Args:
        model: The wrapped model; the plain one for `full` and `head`.
        layers: Name of each target layer in the base model → W₀ before the adapter, d_out × d_in.
        head: Names of the modules that train whole beside the adapter.
        start: Where the start took factors out of W₀ (PiSSA), these factors.
    """

    model: nn.Module
    layers: dict[str, Tensor]
    head: tuple[str, ...]
    start: Mapping[str, Factors] = field(default_factory=dict)

    def head_parameters(self) -> list[nn.Parameter]:
        """Trainable parameters of the head."""
        return [p for name, p in self._trainable() if self._in_head(name)]

    def adapter_parameters(self) -> list[nn.Parameter]:
        """Trainable parameters outside the head."""
        return [p for name, p in self._trainable() if not self._in_head(name)]

    def deltas(self) -> dict[str, Delta]:
        """ΔW of each adapted layer: thin factors where the method has them, else dense; {} for `head`."""
        with torch.no_grad():
            if isinstance(self.model, PeftModel):
                return {name: self._delta(name, layer) for name, layer in tuner_layers(self.model)}
            trained = {name for name, p in self._trainable()}
            modules = dict(self.model.named_modules())
            return {n: weight_of(modules[n]) - w for n, w in self.layers.items() if f"{n}.weight" in trained}

    def networks(self) -> dict[str, Network]:
        """The network of W₀ that makes each adapted layer's factors; none of methods without one."""
        layers = tuner_layers(self.model) if isinstance(self.model, PeftModel) else ()
        made = {name: network(layer, layer.active_adapters[0], self.layers[name]) for name, layer in layers}
        return {name: one for name, one in made.items() if one is not None}

    def dead_units(self, name: str) -> float:
        """Share of a NEAT layer's hidden units that give 0 for every row of W₀; NaN for other methods."""
        layers = dict(tuner_layers(self.model)) if isinstance(self.model, PeftModel) else {}
        layer = layers.get(name)
        return layer.dead_units(layer.active_adapters[0]) if isinstance(layer, NeatLayer) else math.nan

    def _delta(self, name: str, layer: BaseTunerLayer) -> Delta:
        return delta(layer, layer.active_adapters[0], self.layers[name], self.start.get(name))

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
        targets: Names of the layers to adapt, matched as PEFT does: whole, or the last parts of the name; the options
            may ask for others.
        head: Names of the modules that train whole.

    Returns:
        The adapted model. Its `layers` share memory with the frozen weights unless these train.

    Raises:
        BadInput: Options that a target layer cannot hold, or targets that the model does not have.
    """
    row, config = METHODS[method], configure(model, method, options, targets, head)
    weights = _weights(target_layers(model, place(model, options, targets, head)))
    model.requires_grad_(row.trains == "all")
    if config is None:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(row.trains == "all" or any(part in head for part in name.split(".")))
        return Adapted(model, {n: w.clone() for n, w in weights.items()}, tuple(head))
    wrapped = _wrap(model, method, config)
    return Adapted(wrapped, weights, tuple(head), _initial(wrapped, weights) if row.takes_from_weight else {})


def configure(model: nn.Module, method: str, options: Schema, targets: list[str], head: list[str]) -> PeftConfig | None:
    """The config that `attach` gives to PEFT, for the same arguments; None for `full` and `head`.

    Raises:
        BadInput: What `attach` refuses.
    """
    row, targets = METHODS[method], place(model, options, targets, head)
    layers = target_layers(model, targets)
    _check_fit(row, options, _weights(layers))
    if row.trains == "head" and not head:
        raise BadInput(f"arm {method!r} has nothing to train: the task's model has no head")
    if row.config is None:
        return None
    _check_types(method, layers)
    return _complete(row.config(options, targets), head, layers)


def target_layers(model: nn.Module, targets: list[str]) -> Layers:
    """The layers that `targets` name, in the model's order.

    Raises:
        BadInput: There are none, or one that no adapter here fits.
    """
    named: Any = {name: m for name, m in model.named_modules() if any(f".{name}".endswith(f".{t}") for t in targets)}
    if not named:
        raise BadInput(f"no layer of the model is named {' or '.join(targets)}")
    for name, module in named.items():
        if not isinstance(module, nn.Linear | Conv1D):
            kind = type(module).__name__
            raise BadInput(f"target module {name!r} is a {kind}; adapters go on nn.Linear and transformers' Conv1D")
    return named


def target_shapes(model: nn.Module, targets: list[str]) -> dict[str, tuple[int, int]]:
    """(d_out, d_in) of each layer that `targets` name."""
    return {name: (w.shape[0], w.shape[1]) for name, w in _weights(target_layers(model, targets)).items()}


def weight_of(layer: nn.Module) -> Tensor:
    """A linear layer's weight as d_out × d_in, detached; Conv1D keeps it the other way round."""
    weight: Tensor = layer.get_parameter("weight").detach()
    return weight.T if isinstance(layer, Conv1D) else weight


def tuner_layers(model: nn.Module) -> Iterator[tuple[str, BaseTunerLayer]]:
    """Name in the base model and adapted layer, for each adapted layer of a PEFT model.

    Rows of an embedding that train whole lie in such a layer too, and are no adapter's.
    """
    for name, module in model.named_modules():
        if isinstance(module, BaseTunerLayer) and not isinstance(module, TrainableTokensLayer):
            yield name.removeprefix("base_model.model."), module


def _weights(layers: Layers) -> dict[str, Tensor]:
    return {name: weight_of(layer) for name, layer in layers.items()}


def _check_fit(row: Method, options: Schema, weights: dict[str, Tensor]) -> None:
    for name, weight in weights.items():
        d_out, d_in = weight.shape
        try:
            if row.params is not None:
                row.params(options, d_out, d_in)
        except BadInput as error:
            raise BadInput(f"layer {name} ({d_out} × {d_in}): {error}") from None


def _check_types(method: str, layers: Layers) -> None:
    for name, layer in layers.items():
        if isinstance(layer, Conv1D) and not METHODS[method].fits_conv1d:
            raise BadInput(
                f"{method} does not fit this model: layer {name} is a Conv1D, and PEFT has it on nn.Linear only"
            )


def _complete(config: PeftConfig, head: list[str], layers: Layers) -> PeftConfig:
    config.modules_to_save = head or None  # type: ignore[attr-defined]  # every tuner's config has the field
    if hasattr(config, "fan_in_fan_out"):
        config.fan_in_fan_out = any(isinstance(layer, Conv1D) for layer in layers.values())
    return config


def _wrap(model: nn.Module, method: str, config: PeftConfig) -> PeftModel:
    try:
        with quiet_peft():
            return get_peft_model(model, config)
    except (NotImplementedError, TypeError, ValueError) as error:
        if isinstance(error, BadInput) or "target module" not in str(error).lower():
            raise
        raise BadInput(f"{method} does not fit this model: {str(error).splitlines()[0]}") from error


@contextmanager
def quiet_peft() -> Iterator[None]:
    """Hide the one warning that PEFT causes on every transformers model and that nobody here can act on."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
        yield


def _initial(model: PeftModel, weights: Mapping[str, Tensor]) -> dict[str, Factors]:
    """The factors that the start took out of each W₀, before they train."""
    layers = tuner_layers(model)
    factors = {name: initial_factors(layer, layer.active_adapters[0], weights[name]) for name, layer in layers}
    return {name: value for name, value in factors.items() if value is not None}
