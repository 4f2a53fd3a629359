"""A linear layer whose update is a small MLP of its own frozen weight.

Zhong et al., "NEAT: Nonlinear Parameter-efficient Adaptation of Pre-trained Models" (arXiv:2410.01870; PEANuT from
version 3 on), equations 3 to 5.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers.pytorch_utils import Conv1D

from neatlab.adapters.factors import Factors
from neatlab.adapters.neat.fused import SharedReading, adapted_linear, is_dequantised, is_few, is_plain
from neatlab.adapters.neat.layer import NeatLayer
from neatlab.adapters.neat.magnitude import row_norms, squared_norms
from neatlab.adapters.neat.offload import onloaded
from neatlab.adapters.neat.parameters import is_traced


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

    def add_update(self, result: Tensor, x: Tensor, adapter_name: str, frozen: Tensor | None) -> Tensor:
        """A result with ΔW x added; with magnitudes (g − 1) ⊙ W₀x + g ⊙ ΔWx, g = m/‖W₀ + ΔW‖."""
        factors = self.factors(adapter_name)
        if not self.is_dora(adapter_name):
            return factors.add_to(result, x)
        gain = self._gain(adapter_name, factors)
        update = gain.to(x.dtype) * factors.to(x.dtype).apply(x)
        return result + ((gain - 1).to(x.dtype) * self._frozen_product(x, frozen) + update).to(result.dtype)

    def _frozen_product(self, x: Tensor, frozen: Tensor | None) -> Tensor:
        """W₀x, out of the base layer's result where that is for this x."""
        if frozen is None:
            return F.linear(x, self.base_weight().to(x.dtype))
        bias: Any = self.get_base_layer().bias
        return frozen if bias is None else frozen - bias

    def _gain(self, adapter_name: str, factors: Factors) -> Tensor:
        """g = m/‖W₀ + ΔW‖, d_out; the norms count as constants, as in DoRA."""
        magnitude, memos = self.neat_magnitude[adapter_name], self.neat_memo[adapter_name]
        if torch.is_grad_enabled():
            return magnitude / self._norms(adapter_name, factors)
        tensors, scaling = self._sources(adapter_name)
        return memos.gain.get([*tensors, magnitude], scaling, lambda: magnitude / self._norms(adapter_name, factors))

    @torch.no_grad()
    def _norms(self, adapter_name: str, factors: Factors) -> Tensor:
        with onloaded(self), torch.autocast(factors.left.device.type, enabled=False):
            weight, memo = self.base_weight(), self.neat_memo[adapter_name].squares
            squares = (
                squared_norms(weight)
                if is_traced()
                else memo.get([self.stored_weight()], None, lambda: squared_norms(weight))
            )
            return row_norms(weight, squares, factors)

    def dense_delta(self, adapter_name: str) -> Tensor:
        delta = super().dense_delta(adapter_name)
        if not self.is_dora(adapter_name):
            return delta
        weight = self.base_weight().to(delta.dtype)
        return self._gain(adapter_name, self.factors(adapter_name))[:, None] * (weight + delta) - weight

    def fused(self, x: Tensor, adapter_name: str) -> Tensor | None:
        """Base layer and update in one for a plain layer and for one of 4 bits that trains, else None."""
        base: Any = self._modules["base_layer"]
        if self.drops(adapter_name) or self.is_dora(adapter_name):
            return None
        if is_plain(base, x):
            weight, bias = base._parameters["weight"], base._parameters["bias"]
            weight = weight.T if isinstance(base, Conv1D) else weight
            factors = self.factors(adapter_name) if is_few(x) else self.served(adapter_name, x.dtype)
            return adapted_linear(x, weight, bias, factors)
        if is_dequantised(base, x):
            reading = SharedReading(self.base_weight, self._trains_product(adapter_name))
            factors = self.served(adapter_name, x.dtype, reading)
            return adapted_linear(x, reading, base._parameters["bias"], factors)
        return None

    def _trains_product(self, adapter_name: str) -> bool:
        """Whether Θ₁ᵀ W₀ is computed for training, so that its backward needs W₀."""
        first, *_ = self.thetas(adapter_name)
        return self.neat_config[adapter_name].conditioning == "weight" and first.requires_grad
