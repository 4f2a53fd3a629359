"""Which modules NEAT adapts: the layer that each kind gets, and what is said of the others before anything changes."""

import warnings
from typing import Any

from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn
from transformers.pytorch_utils import Conv1D

from neatlab.adapters.neat.config import NeatConfig
from neatlab.adapters.neat.conv import NeatConv
from neatlab.adapters.neat.embedding import NeatEmbedding
from neatlab.adapters.neat.layer import NeatLayer
from neatlab.adapters.neat.linear import NeatLinear
from neatlab.adapters.neat.storage import QuantisedStorage, Storage, storage_of
from neatlab.errors import BadInput

LAYERS: dict[type[nn.Module], type[NeatLayer]] = {
    nn.Linear: NeatLinear,
    Conv1D: NeatLinear,
    nn.Embedding: NeatEmbedding,
    nn.Conv1d: NeatConv,
    nn.Conv2d: NeatConv,
}
ALLOWED = "nn.Linear, transformers' Conv1D, nn.Embedding, nn.Conv1d and nn.Conv2d"


def layer_class(target: nn.Module, name: str, config: NeatConfig, requantise: Any) -> type[NeatLayer]:
    """The class of layer for a target module.

    Args:
        target: The module, or an adapter's layer around it.
        name: Its name, for messages.
        config: What it is to get.
        requantise: What torchao quantises by.

    Raises:
        BadInput: A module that NEAT does not adapt, or not so, or a rank above its smaller side.
    """
    base = target.get_base_layer() if isinstance(target, BaseTunerLayer) else target
    try:
        storage = storage_of(base, requantise)
    except BadInput as error:
        raise BadInput(f"target module {name!r}: {error}") from None
    layer = NeatLinear if isinstance(storage, QuantisedStorage) else _class_of(base, name)
    if config.use_dora and layer is not NeatLinear:
        raise BadInput(f"target module {name!r} is a {type(base).__name__}; use_dora is for linear layers")
    _check_rank(config.r, storage, base, name)
    return layer


def _class_of(base: Any, name: str) -> type[NeatLayer]:
    # nn.MultiheadAttention reads its output layer's weight without calling the layer: an adapter there has no effect.
    usable = "NonDynamicallyQuantizable" not in type(base).__name__
    layer = next((layer for kind, layer in LAYERS.items() if usable and isinstance(base, kind)), None)
    if layer is None:
        raise BadInput(f"target module {name!r} is a {type(base).__name__}; NEAT adapts {ALLOWED}")
    if not base.weight.is_floating_point():
        raise BadInput(f"target module {name!r} holds {base.weight.dtype} weights; NEAT needs floating-point ones")
    if problem := layer.unsupported(base):
        raise BadInput(f"target module {name!r} has {problem}")
    return layer


def _check_rank(rank: int, storage: Storage, base: nn.Module, name: str) -> None:
    d_out, d_in = storage.shape(base)
    most, last = min(d_out, d_in), name.rpartition(".")[2]
    if rank > most:
        raise BadInput(
            f"r={rank} on target module {name!r}, a layer of {d_out} × {d_in}; allowed there: 1 to {most}; "
            f"give it a rank of its own, rank_pattern={{{last!r}: {most}}}, or leave it out with exclude_modules"
        )


def warn_of_experts(model: nn.Module) -> None:
    """Experts whose weights lie in one tensor are no linear layers: LoRA has another way to them, NEAT has none."""
    names = [name for name, parameter in model.named_parameters() if parameter.dim() == 3 and "experts" in name]
    if names:
        warnings.warn(
            f"all-linear leaves {len(names)} weights frozen that are no linear layers, such as {names[0]}; NEAT adapts "
            f"{ALLOWED}",
            stacklevel=2,
        )
