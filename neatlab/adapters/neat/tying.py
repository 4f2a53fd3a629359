"""Layers that share one weight, such as a language model's input embedding and its output layer."""

from dataclasses import replace
from typing import Any

from torch import nn

from neatlab.adapters.neat.config import NeatConfig
from neatlab.adapters.neat.layer import NeatLayer
from neatlab.adapters.neat.storage import PlainStorage, SharedStorage


def tied_source(tuner: Any, config: NeatConfig, name: str) -> NeatLayer | None:
    """The input embedding's layer where `ensure_weight_tying` gives its adapter to the layer of this name too."""
    return tuner.model.get_input_embeddings() if tuner._check_tied_module_exists(config, name) else None


def mirrored(source: NeatLayer, adapter_name: str, target: nn.Module) -> NeatConfig:
    """The configuration with which a layer on the same weight has the embedding's ΔW.

    An embedding's W₀ is its table transposed, a linear layer's is the table: what maps over the outputs of one maps
    over the inputs of the other.
    """
    config = source.neat_config[adapter_name]
    is_table = isinstance(getattr(target, "base_layer", target), nn.Embedding)
    return replace(config, orientation="out" if source.maps_out(adapter_name) == is_table else "in")


def share(source: NeatLayer, layer: NeatLayer, adapter_name: str) -> None:
    """Let both layers have one Θ, and one weight once they are merged."""
    layer.neat_theta[adapter_name] = source.neat_theta[adapter_name]
    layer.neat_activation[adapter_name] = source.neat_activation[adapter_name]
    for one, other in ((source, layer), (layer, source)):
        if isinstance(one.storage, SharedStorage) and isinstance(other.storage, SharedStorage):
            one.storage.partner = other.storage


def keep_apart(layer: NeatLayer, model: nn.Module) -> None:
    """Let merging give the layer a weight of its own where other modules have its weight too."""
    if isinstance(layer.storage, PlainStorage):
        base: Any = layer.get_base_layer()
        if sum(base.weight is weight for module in model.modules() for weight in module._parameters.values()) > 1:
            layer.storage = SharedStorage(base)
