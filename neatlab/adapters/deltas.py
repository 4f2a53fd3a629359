"""ΔW of an adapted layer, whatever the method: thin factors where it has them, a dense matrix where not.

Always d_out × d_in, against the weight before the adapter was attached, and without touching the layer.
"""

from collections.abc import Callable
from typing import Any

import torch
from peft.tuners.fourierft.layer import FourierFTLayer
from peft.tuners.hira.layer import HiraLayer
from peft.tuners.ia3.layer import IA3Layer
from peft.tuners.loha.layer import LoHaLayer
from peft.tuners.lokr.layer import LoKrLayer
from peft.tuners.lora.layer import LoraLayer
from peft.tuners.miss.layer import MissLayer
from peft.tuners.oft.layer import OFTLayer
from peft.tuners.peanut.layer import PeanutLayer
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.tuners.vera.layer import VeraLayer
from torch import Tensor
from transformers.activations import ACT2FN

from neatlab.adapters.factors import Factors
from neatlab.adapters.hidden import hidden_layers
from neatlab.adapters.neat import NeatLinear
from neatlab.errors import BadInput

Delta = Factors | Tensor


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
        found = _compute(layer, adapter, weight, start)
    return Factors(found.left.detach(), found.right.detach()) if isinstance(found, Factors) else found.detach()


def _compute(layer: BaseTunerLayer, adapter: str, weight: Tensor, start: Factors | None) -> Delta:
    if isinstance(layer, LoraLayer):
        return _lora(layer, adapter, weight, start)
    for kind, compute in _BY_KIND.items():
        if isinstance(layer, kind):
            return compute(layer, adapter, weight)
    raise BadInput(f"ΔW of a {type(layer).__name__} is not known; METHODS lists the methods that are")


def lora_factors(layer: Any, adapter: str) -> Factors:
    """(s·B, A) of a LoRA layer, without what a variant or an initialisation does beside them."""
    return Factors(layer.lora_B[adapter].weight * layer.scaling[adapter], layer.lora_A[adapter].weight)


def _lora(layer: Any, adapter: str, weight: Tensor, start: Factors | None) -> Delta:
    factors = lora_factors(layer, adapter)
    if adapter in layer.lora_variant:
        return _dora(layer, adapter, weight, factors)
    return factors if start is None else _difference(factors, start)


def _dora(layer: Any, adapter: str, weight: Tensor, factors: Factors) -> Tensor:
    """m ⊙ V/‖V‖ − W₀ with V = W₀ + s·B A; the norm is that of each row (Liu et al., arXiv:2402.09353, eq. 5)."""
    if adapter not in layer.lora_magnitude_vector:
        raise BadInput("ΔW of this LoRA variant is not known; METHODS lists the methods that are")
    direction = weight.to(factors.left.dtype) + factors.dense()
    magnitude = layer.lora_magnitude_vector[adapter].weight
    return (magnitude / direction.norm(dim=1))[:, None] * direction - weight


def _difference(now: Factors, start: Factors) -> Factors:
    """now − start as factors of twice the rank; exactly zero while nothing has changed."""
    if torch.equal(now.left, start.left) and torch.equal(now.right, start.right):
        return Factors(torch.zeros_like(now.left), now.right)
    return Factors(torch.cat([now.left, -start.left], 1), torch.cat([now.right, start.right]))


def _vera(layer: Any, adapter: str, weight: Tensor) -> Factors:
    d_out, d_in = weight.shape
    left = layer.vera_lambda_b[adapter][:, None] * layer.vera_B[adapter][:d_out]
    return Factors(left, layer.vera_lambda_d[adapter][:, None] * layer.vera_A[adapter][:, :d_in])


def _miss(layer: Any, adapter: str, weight: Tensor) -> Factors:
    """Dᵀ E: input j joins group j mod r, so E (r × d_in) repeats the identity."""
    block = layer.miss_block[adapter]
    groups = torch.arange(weight.shape[1], device=block.device) % block.shape[0]
    right = torch.nn.functional.one_hot(groups, block.shape[0]).T.to(block.dtype)
    return Factors(block.T, right)


def _peanut(layer: Any, adapter: str, weight: Tensor) -> Factors:
    first, last = layer.peanut_A[adapter].weight, layer.peanut_B[adapter].weight
    inner = [m.weight for m in [*layer.peanut_encoders[adapter], *layer.peanut_decoders[adapter]]]
    product = first @ weight.to(first.dtype)  # r × d_in
    hidden = hidden_layers(product, inner, ACT2FN[layer.act_fn[adapter]], paired=True)
    return Factors(last * layer.scaling[adapter], hidden)


def _oft(layer: Any, adapter: str, weight: Tensor) -> Tensor:
    rotation = layer.get_delta_weight(adapter)
    return weight.to(rotation.dtype) @ rotation.T - weight


def _hira(layer: Any, adapter: str, weight: Tensor) -> Tensor:
    return weight * (layer.hira_B[adapter] @ layer.hira_A[adapter])


def _ia3(layer: Any, adapter: str, weight: Tensor) -> Tensor:
    return (layer.ia3_l[adapter] - 1) * weight  # d_out × 1 or 1 × d_in


def _neat(layer: Any, adapter: str, weight: Tensor) -> Factors:
    return layer.factors(adapter)


def _built(layer: Any, adapter: str, weight: Tensor) -> Tensor:
    return layer.get_delta_weight(adapter)


_BY_KIND: dict[type, Callable[[Any, str, Tensor], Delta]] = {
    NeatLinear: _neat,
    VeraLayer: _vera,
    MissLayer: _miss,
    PeanutLayer: _peanut,
    OFTLayer: _oft,
    HiraLayer: _hira,
    IA3Layer: _ia3,
    FourierFTLayer: _built,
    LoHaLayer: _built,
    LoKrLayer: _built,
}
