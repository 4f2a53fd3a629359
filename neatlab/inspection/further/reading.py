"""ΔW of one layer of a further type, from its tensors, the settings and W₀."""

from collections import ChainMap
from typing import Any

from torch import Tensor

from neatlab.adapters.factors import Delta, Factors
from neatlab.errors import BadInput
from neatlab.inspection.adapter_folder import AdapterFolder
from neatlab.inspection.further.base import FurtherType, LayerTensors, defaults_of
from neatlab.inspection.further.table import FURTHER
from neatlab.inspection.peft_layers import build_layer


def further_delta(adapter: AdapterFolder, layer: str, shape: tuple[int, int], weight: Tensor | None) -> Delta:
    """ΔW of a layer of a type in FURTHER.

    Args:
        adapter: The adapter.
        layer: The layer.
        shape: (d_out, d_in).
        weight: W₀; None where ΔW does not depend on it.

    Raises:
        BadInput: A tensor that is missing, or that does not fit the others or the settings.
    """
    try:
        delta = _delta(FURTHER[adapter.type], adapter, layer, shape, weight)
    except BadInput as error:
        raise BadInput(f"layer {layer}: {error}") from error
    except KeyError as error:
        raise BadInput(f"layer {layer}: this {adapter.type} adapter has no tensor {error}") from error
    except (RuntimeError, IndexError, TypeError, ValueError) as error:
        raise BadInput(f"layer {layer}: its tensors make no ΔW: {str(error).splitlines()[0][:200]}") from error
    if tuple(delta.shape) != tuple(shape):
        raise BadInput(f"layer {layer}: its tensors make a ΔW of {delta.shape[0]} × {delta.shape[1]}, not {shape}")
    return Factors(delta.left.detach(), delta.right.detach()) if isinstance(delta, Factors) else delta.detach()


def _delta(row: FurtherType, adapter: AdapterFolder, layer: str, shape: Any, weight: Tensor | None) -> Delta:
    if row.delta is not None:
        parts = {name: _raised(tensor) for name, tensor in adapter.layers[layer].items()}
        shared = {_last(name, row.files.shared): _raised(tensor) for name, tensor in adapter.shared.items()}
        settings = ChainMap(dict(adapter.settings), defaults_of(adapter.type))
        return row.delta(LayerTensors(parts, shared, settings, shape, weight, len(adapter.layers)))
    if row.built is None:
        raise BadInput(f"{adapter.type} has no rule for its ΔW")
    return row.built(*build_layer(adapter, layer, shape, weight))


def _raised(tensor: Tensor) -> Tensor:
    """Half precision as float32, in which PEFT computes too."""
    return tensor.float() if tensor.is_floating_point() and tensor.element_size() < 4 else tensor


def _last(name: str, shared: tuple[str, ...]) -> str:
    """The rest of a shared tensor's name, from the part that says what it is."""
    parts = name.split(".")
    start = next(index for index, part in enumerate(parts) if part in shared)
    return ".".join(parts[start:])
