"""ΔW of an adapted layer, whatever the method: thin factors where it has them, a dense matrix where not.

Always d_out × d_in, against the weight before the adapter was attached, and without touching the layer.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, cast

import torch
from peft.mapping import PEFT_TYPE_TO_TUNER_MAPPING
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor

import neatlab.adapters.neat  # noqa: F401  # registers the type NEAT
from neatlab.adapters.factors import Delta, Factors
from neatlab.adapters.methods import METHODS, Method
from neatlab.adapters.methods.base import Network
from neatlab.errors import BadInput

Rule = Callable[[Any, str, Tensor, Factors | None], Delta]


def delta(layer: BaseTunerLayer, adapter: str, weight: Tensor, start: Factors | None = None) -> Delta:
    """ΔW of one adapter on one layer.

    Args:
        layer: The adapted layer.
        adapter: Name of the adapter.
        weight: W₀ before the adapter was attached, d_out × d_in.
        start: For LoRA that took its first factors out of W₀ (PiSSA): these factors.

    Returns:
        `Factors` or the matrix, d_out × d_in, without a graph. Factors may share memory with the parameters.

    Raises:
        BadInput: A layer of a method that is not in METHODS.
    """
    with torch.no_grad():
        result = cast(Rule, _row(layer).delta)(layer, adapter, weight, start)
    return Factors(result.left.detach(), result.right.detach()) if isinstance(result, Factors) else result.detach()


def initial_factors(layer: BaseTunerLayer, adapter: str, weight: Tensor) -> Factors | None:
    """The factors that a fresh layer's start took out of W₀, as they are before they train; None where it has none.

    Args:
        layer: An adapted layer that has not trained.
        adapter: Name of the adapter.
        weight: W₀ before the adapter was attached, d_out × d_in.
    """
    factors = delta(layer, adapter, weight)
    return Factors(factors.left.clone(), factors.right.clone()) if isinstance(factors, Factors) else None


def network(layer: BaseTunerLayer, adapter: str, weight: Tensor) -> Network | None:
    """The network of W₀ that makes a layer's factors, for NEAT and PEANuT.

    Args:
        layer: The adapted layer.
        adapter: Name of the adapter.
        weight: W₀ before the adapter was attached, d_out × d_in.
    """
    rule = _row(layer).network
    with torch.no_grad():
        return rule(layer, adapter, weight) if rule else None


def _row(layer: BaseTunerLayer) -> Method:
    for kind, row in _rows().items():
        if isinstance(layer, kind):
            return row
    raise BadInput(f"ΔW of a {type(layer).__name__} is not known; METHODS lists the methods that are")


@cache
def _rows() -> dict[type, Method]:
    """PEFT's layer → the method that puts it there; variants of one layer compute ΔW by one rule."""
    tuners: dict[Any, Any] = PEFT_TYPE_TO_TUNER_MAPPING
    return {tuners[row.files.type].tuner_layer_cls: row for row in METHODS.values() if row.files and row.delta}
