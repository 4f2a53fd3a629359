"""A convolution with NEAT adapters: W₀ is its kernel as d_out × (d_in · window)."""

from typing import Any

from torch import Tensor
from torch.nn import functional as F

from neatlab.adapters.neat.layer import NeatLayer

POINTWISE = {3: F.conv1d, 4: F.conv2d}  # by the dimensions of the kernel


class NeatConv(NeatLayer):
    """An `nn.Conv1d` or `nn.Conv2d` with NEAT adapters, the update's factors two thin convolutions.

    Hᵀ (r × d_in·window) is a kernel with the base layer's window, stride, padding and dilation, and Θ_Lᵀ (d_out × r)
    one of window 1: ΔW is never built.

    Args:
        base_layer: The convolution, with one group.
        adapter_name: Name of the first adapter.
        config: Its configuration.
        requantise: Not used: no backend quantises convolutions.

    Raises:
        BadInput: A rank above min(d_in · window, d_out).
    """

    @staticmethod
    def unsupported(base: Any) -> str:
        """What about a base layer of this kind is beyond NEAT, "" for nothing."""
        return f"groups={base.groups}; NEAT adapts convolutions with groups=1" if base.groups != 1 else ""

    def add_update(self, result: Tensor, x: Tensor, adapter_name: str, frozen: Tensor | None) -> Tensor:
        """The base layer's result for x with ΔW x added."""
        base: Any = self.get_base_layer()
        factors = self.factors(adapter_name).to(result.dtype)
        kernel = factors.right.unflatten(1, base.weight.shape[1:])  # r × d_in × window
        thin = base._conv_forward(x.to(result.dtype), kernel, None)  # n × r × places
        pointwise = factors.left[(..., *[None] * (kernel.dim() - 2))]  # d_out × r × 1 …
        return result + POINTWISE[kernel.dim()](thin, pointwise)
