"""A weighted sum of NEAT updates is a NEAT update: the hidden units beside each other, the ranks added.

σ acts on each hidden unit alone, so Θ₁ stacks, the inner matrices become the blocks of one diagonal, and Θ_L stacks
with its weight and scaling folded in.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from neatlab.adapters.neat.config import NeatConfig
from neatlab.adapters.neat.layer import NeatLayer
from neatlab.errors import BadInput, unknown

ALIKE = ("depth", "activation", "residual", "orientation", "conditioning", "frequency")


def sum_config(
    configs: Mapping[str, Any],
    adapters: Sequence[str],
    weights: Sequence[float],
    adapter_name: str,
    layers: Mapping[str, NeatLayer],
) -> NeatConfig:
    """The configuration of the sum.

    Args:
        configs: Name of an adapter → its configuration.
        adapters: Those to add up.
        weights: Their weights.
        adapter_name: Name of the sum.
        layers: Name → layer, of those that hold one of them.

    Raises:
        BadInput: A name that is not there or is taken; other weights than adapters; adapters that differ, or have
            magnitudes.
    """
    _check_names(configs, adapters, weights, adapter_name)
    _check_alike(configs, adapters)
    if dora := next((name for name in adapters if configs[name].use_dora), None):
        raise BadInput(f"{dora!r} has magnitudes (use_dora), which do not add up; add adapters without")
    first = configs[adapters[0]]
    if any(parameters for layer in layers.values() for name in adapters for parameters in _learned(layer, name)):
        raise BadInput(f"activation {first.activation!r} is learned, each adapter has its own: their sum is no NEAT")
    ranks = {name: sum(layer.neat_config[one].r for one in _held(layer, adapters)) for name, layer in layers.items()}
    most = max(ranks.values())
    return replace(
        first,
        r=most,
        scaling=1.0,
        dropout=0.0,
        rank_pattern={re.escape(name): rank for name, rank in ranks.items() if rank != most},
        scaling_pattern={},
        target_modules=list(layers),
        exclude_modules=None,
        layers_to_transform=None,
        layers_pattern=None,
        inference_mode=True,
    )


def _check_names(
    configs: Mapping[str, Any], adapters: Sequence[str], weights: Sequence[float], adapter_name: str
) -> None:
    for name in adapters:
        if name not in configs:
            raise unknown("adapter", name, configs)
    if adapter_name in configs:
        raise BadInput(f"an adapter {adapter_name!r} is there already; take another name or delete it first")
    if not adapters or len(weights) != len(adapters) or len(set(adapters)) != len(adapters):
        raise BadInput(f"{len(weights)} weights for the adapters {list(adapters)}; give one for each, and each once")


def _check_alike(configs: Mapping[str, Any], adapters: Sequence[str]) -> None:
    first, *others = adapters
    for name in others:
        for field in ALIKE:
            a, b = getattr(configs[first], field), getattr(configs[name], field)
            if a != b:
                raise BadInput(
                    f"{field} is {a!r} in {first!r} and {b!r} in {name!r}: their sum is no NEAT; it is a LoRA: turn "
                    "each into one with neatlab.adapters.convert.neat_to_lora and add those"
                )


def fill_sum(layer: NeatLayer, weights: Mapping[str, float], adapter_name: str) -> None:
    """Write Σ wᵢ ΔWᵢ into a layer's new adapter."""
    names = _held(layer, list(weights))
    *stacks, last = zip(*(layer.thetas(name) for name in names), strict=True)
    factors = [weights[name] * layer.neat_config[name].scaling for name in names]
    first, *inner = stacks  # rᵢ × m each; rᵢ × rᵢ each
    made = [torch.cat(list(first)), *(torch.block_diag(*blocks) for blocks in inner)]
    made.append(torch.cat([factor * theta for factor, theta in zip(factors, last, strict=True)]))  # Σr × n
    with torch.no_grad():
        for theta, value in zip(layer.thetas(adapter_name), made, strict=True):
            theta.copy_(value)


def _learned(layer: NeatLayer, name: str) -> list[Any]:
    return [list(layer.neat_activation[name].parameters())] if layer.holds(name) else []


def _held(layer: NeatLayer, adapters: Sequence[str]) -> list[str]:
    return [name for name in adapters if layer.holds(name)]
