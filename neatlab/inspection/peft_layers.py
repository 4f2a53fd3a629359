"""PEFT's own layers around weights that take no memory: what an adapter's tensors mean is PEFT's to say."""

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from peft import PeftModel, get_peft_model, set_peft_model_state_dict
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from neatlab.adapters.attach import quiet_peft, tuner_layers
from neatlab.adapters.deltas import delta
from neatlab.adapters.factors import Delta, Factors
from neatlab.adapters.neat import NeatLayer
from neatlab.errors import BadInput, shown
from neatlab.inspection.adapter_folder import CONFIG, PREFIX, AdapterFolder

Shape = tuple[int, int]

PAIR = {"lora_A.weight", "lora_B.weight"}  # all that a plain LoRA has in a layer


def build_layer(
    adapter: AdapterFolder, layer: str, shape: Shape, weight: Tensor | None
) -> tuple[BaseTunerLayer, Tensor]:
    """PEFT's layer with the adapter's tensors around W₀, or around zero, and that weight.

    Args:
        adapter: The adapter, of any number of layers.
        layer: The one that is built.
        shape: (d_out, d_in).
        weight: W₀; None for zero.

    Raises:
        BadInput: As `build_layers`.
    """
    base = torch.zeros(()).expand(shape) if weight is None else weight.float()
    alone = replace(adapter, layers={layer: adapter.layers[layer]})
    return build_layers(alone, {layer: shape}, {layer: base})[layer], base


def build_layers(
    adapter: AdapterFolder, shapes: Mapping[str, Shape], weights: Mapping[str, Tensor] | None = None
) -> dict[str, BaseTunerLayer]:
    """PEFT's layers with the adapter's tensors, on weights of one shared zero where none are given.

    Args:
        adapter: The adapter.
        shapes: Layer → (d_out, d_in).
        weights: Layer → W₀, for types whose layers take from it what their files do not hold.

    Raises:
        BadInput: A tensor that these shapes and the adapter's settings have no place for.
    """
    zero = torch.zeros(())
    # LoRA's tensors are taken as they are; what other types leave to their start, PEFT draws or computes.
    whole = adapter.type == "LORA" and not adapter.needs_weight and all(map(PAIR.issubset, adapter.layers.values()))
    weights = weights or {name: zero.expand(shape) for name, shape in shapes.items()}
    layers, model = _wrap(weights, adapter.peft_config(), low_cpu_mem_usage=whole)
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    for layer, parts in adapter.layers.items():
        _check_parts(layer, parts, expected)
    state = {f"{PREFIX}{layer}.{part}": t for layer, parts in adapter.layers.items() for part, t in parts.items()}
    try:
        set_peft_model_state_dict(model, {**state, **adapter.shared}, low_cpu_mem_usage=whole)
    except (RuntimeError, ValueError, KeyError) as error:
        raise BadInput(f"{adapter.path}: {_last_line(error)}") from error
    return layers


def _check_parts(layer: str, parts: Mapping[str, Tensor], expected: Mapping[str, tuple[int, ...]]) -> None:
    """Hold a layer's tensors against what PEFT builds for these settings."""
    for part, tensor in parts.items():
        names = [name for name in _with_adapter(f"{PREFIX}{layer}.{part}") if name in expected]
        if not names:
            raise BadInput(f"layer {layer}: tensor {part} belongs to no such adapter as {CONFIG} describes")
        if tuple(tensor.shape) != expected[names[0]]:
            sides = " × ".join(map(str, tensor.shape)), " × ".join(map(str, expected[names[0]]))
            raise BadInput(
                f"adapter and base do not fit: {part} of layer {layer} is {sides[0]}; "
                f"the base and {CONFIG} ask for {sides[1]}"
            )


def _with_adapter(name: str) -> list[str]:
    """Where PEFT puts the adapter's name into a tensor's: after the part that has the method's prefix."""
    pieces = name.split(".")
    names = [".".join([*pieces[:index], "default", *pieces[index:]]) for index in range(len(pieces), 0, -1)]
    return [*names, f"{name}.default.weight"]  # DoRA's magnitude is saved without the last part


def inject(weights: Mapping[str, Tensor], config: Any) -> dict[str, BaseTunerLayer]:
    """Fresh PEFT layers around these weights, initialised as `config` says."""
    return _wrap(weights, config)[0]


def _wrap(weights: Mapping[str, Tensor], config: Any, **settings: Any) -> tuple[dict[str, BaseTunerLayer], PeftModel]:
    config.target_modules = set(weights)
    try:
        with quiet_peft(), warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
            warnings.simplefilter("ignore", UserWarning)
            model = get_peft_model(_tree(weights), config, **settings)
    except (NotImplementedError, TypeError, ValueError, RuntimeError) as error:
        raise BadInput(f"PEFT cannot build this adapter: {_last_line(error)}") from error
    return dict(tuner_layers(model)), model


def _tree(weights: Mapping[str, Tensor]) -> nn.Module:
    """Nothing but the linear layers, under their names in the base model."""
    root = nn.Module()
    for name, weight in weights.items():
        layer = nn.Linear(1, 1, bias=False)
        layer.out_features, layer.in_features = weight.shape
        layer.weight = nn.Parameter(weight, requires_grad=False)
        try:
            _place(root, name, layer)
        except KeyError as error:  # "forward", "training", ""
            raise BadInput(f"layer {shown(name)}: no module of a model has such a name") from error
    return root


def _place(root: nn.Module, name: str, layer: nn.Module) -> None:
    *path, last = name.split(".")
    parent = root
    for part in path:
        if part not in parent._modules:
            parent.add_module(part, nn.Module())
        parent = parent.get_submodule(part)
    parent.add_module(last, layer)


def delta_of(tuner: Any, weight: Tensor, start: Factors | None) -> Delta:
    """ΔW of a layer, which holds W₀ only while it is asked."""
    base = tuner.get_base_layer()
    placeholder, base.weight = base.weight, nn.Parameter(weight, requires_grad=False)
    try:
        return delta(tuner, "default", weight, start)
    finally:
        base.weight = placeholder
        if isinstance(tuner, NeatLayer):
            tuner.refresh()


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
