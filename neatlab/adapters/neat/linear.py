"""A linear layer whose update is a small MLP of its own frozen weight.

Zhong et al., "NEAT: Nonlinear Parameter-efficient Adaptation of Pre-trained Models" (arXiv:2410.01870; PEANuT from
version 3 on), equations 3 to 5.
"""

from typing import Any

from torch import Tensor
from transformers.pytorch_utils import Conv1D

from neatlab.adapters.neat.fused import adapted_linear, is_few, is_plain
from neatlab.adapters.neat.layer import NeatLayer


class NeatLinear(NeatLayer):
    """A linear layer with NEAT adapters: y = W₀x + b + s·Θ_Lᵀ (Hᵀ x), H = σ(…σ(M Θ₁)…).

    ΔW is never built: with Hᵀ = σ(…σ(Θ₁ᵀ W₀)…) of r × d_in the update costs what LoRA's does, and the
    extra product Θ₁ᵀ W₀ does not grow with the batch. It is cached between forwards in which neither Θ nor
    W₀ has changed; what is edited through `.data`, which torch's version counters do not see, needs `refresh()`.

    Args:
        base_layer: An `nn.Linear` or a transformers `Conv1D`, or bitsandbytes', torchao's or HQQ's quantised one.
        adapter_name: Name of the first adapter.
        config: Its configuration.
        requantise: What torchao quantises merged weights by.

    Raises:
        BadInput: A rank above min(d_in, d_out), or a quantised layer whose weight cannot be read.
    """

    def add_update(self, result: Tensor, x: Tensor, adapter_name: str) -> Tensor:
        """The base layer's result for x with ΔW x added."""
        return self.factors(adapter_name).add_to(result, x)

    def fused(self, x: Tensor, adapter_name: str) -> Tensor | None:
        """Base layer and update in one for a plain layer, else None."""
        base: Any = self._modules["base_layer"]
        if self.drops(adapter_name) or not is_plain(base, x):
            return None
        weight, bias = base._parameters["weight"], base._parameters["bias"]
        weight = weight.T if isinstance(base, Conv1D) else weight
        factors = self.factors(adapter_name) if is_few(x) else self.served(adapter_name, x.dtype)
        return adapted_linear(x, weight, bias, factors)
