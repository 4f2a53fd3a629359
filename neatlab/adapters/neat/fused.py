"""A linear layer and its thin update in one: the update is added in place, forward and backward.

y = W₀x + b + B (A x), A = right (r × d_in), B = left (d_out × r)
∂x = W₀ᵀ g + Aᵀ (Bᵀ g): neither sum reads or allocates a tensor of the layer's output or input twice.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn import functional as F
from torch.nn.modules import module as modules
from transformers.pytorch_utils import Conv1D

from neatlab.adapters.factors import Factors

FEW_ROWS = 16


class SharedReading:
    """W₀ of few bits in full, made once for both products of a forward and once for both of its backward.

    Args:
        read: Makes it, d_out × d_in.
        is_shared: Whether a product other than the layer's own reads it too, before it forward and after it backward;
            it is held between the two.
    """

    def __init__(self, read: Callable[[], Tensor], is_shared: bool) -> None:
        self._read, self._is_shared = read, is_shared
        self._weight: Tensor | None = None

    def __call__(self) -> Tensor:
        """W₀."""
        weight = self._read() if self._weight is None else self._weight
        if self._is_shared:
            self._weight = weight
        return weight

    def release(self) -> None:
        """Hold it no longer."""
        self._weight = None


def is_plain(base: nn.Module, x: Tensor) -> bool:
    """Whether calling the base layer is the product with its frozen weight and nothing else."""
    if type(base) not in (nn.Linear, Conv1D):
        return False
    weight, bias = base._parameters["weight"], base._parameters["bias"]
    return type(weight) is nn.Parameter and _is_frozen(weight, bias) and _is_product(base, x, weight.dtype)


def is_dequantised(base: Any, x: Tensor) -> bool:
    """Whether the base layer is bitsandbytes' of 4 bits, which multiplies by the weight in full when it trains.

    Its first forward chooses the precision to compute in.
    """
    if type(base).__name__ != "Linear4bit" or not torch.is_grad_enabled() or not base.compute_type_is_set:
        return False
    bias = base._parameters["bias"]
    if x.dtype != base.compute_dtype or (bias is not None and bias.dtype != x.dtype):
        return False
    return _is_frozen(base.weight, bias) and _is_product(base, x, x.dtype)


def _is_frozen(*parameters: Tensor | None) -> bool:
    return not any(parameter is not None and parameter.requires_grad for parameter in parameters)


def _is_product(base: nn.Module, x: Tensor, dtype: torch.dtype) -> bool:
    """Whether nothing comes between the call and the product, which is in this precision.

    Something does where it hooks into the layer or has replaced its forward, under torch.func and torch.compile, which
    see the operations that a layer is made of, and where autocast computes in another precision.
    """
    if "forward" in base.__dict__ or modules._has_any_global_hook():
        return False
    if base._forward_hooks or base._forward_pre_hooks or base._backward_hooks or base._backward_pre_hooks:
        return False
    if torch._C._are_functorch_transforms_active() or torch.compiler.is_compiling() or forward_ad._current_level >= 0:
        return False
    device = x.device.type
    return not torch.is_autocast_enabled(device) or torch.get_autocast_dtype(device) == x.dtype == dtype


def is_few(x: Tensor) -> bool:
    """Whether the rows are so few that a CPU's products in half precision take longer than those in float32."""
    half = x.dtype in (torch.bfloat16, torch.float16)
    return half and x.device.type == "cpu" and x.numel() <= FEW_ROWS * x.shape[-1] and not torch.is_grad_enabled()


def adapted_linear(x: Tensor, weight: Tensor | SharedReading, bias: Tensor | None, factors: Factors) -> Tensor:
    """W₀x + b + ΔW x.

    Args:
        x: … × d_in.
        weight: W₀, d_out × d_in, frozen; or how to read it.
        bias: d_out, frozen.
        factors: ΔW, in the precision of the output; in any where `is_few` says so.

    Returns:
        … × d_out.
    """
    flat = x.reshape(-1, x.shape[-1])  # n × d_in, a view wherever that is possible
    if torch.is_grad_enabled():
        result = _AdaptedLinear.apply(flat, factors.left, factors.right, weight, bias)
    else:
        result, _ = _forward(flat, factors.left, factors.right, _in_full(weight, x), bias)
    return result.view(*x.shape[:-1], result.shape[-1])


def _in_full(weight: Tensor | SharedReading, x: Tensor) -> Tensor:
    return weight().to(x.dtype) if isinstance(weight, SharedReading) else weight


def _forward(x: Tensor, left: Tensor, right: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
    """The output (n × d_out), and x Aᵀ (n × r)."""
    result, thin = F.linear(x, weight, bias), x.to(right.dtype) @ right.T
    if left.dtype != result.dtype:
        return result.add_(thin @ left.T), thin
    return result.addmm_(thin, left.T), thin


class _AdaptedLinear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, left: Tensor, right: Tensor, weight: Tensor | SharedReading, bias: Tensor | None
    ) -> Tensor:
        ctx.reading = weight if isinstance(weight, SharedReading) else None
        full = _in_full(weight, x)
        result, thin = _forward(x, left, right, full, bias)
        ctx.save_for_backward(x, left, right, thin, *[] if ctx.reading else [full])
        if ctx.reading:
            ctx.reading.release()
        return result

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, left, right, thin, *weight = ctx.saved_tensors
        (grad,) = grads  # n × d_out
        if torch.is_grad_enabled():  # someone differentiates this in turn
            thin = x @ right.T
        thin_grad = grad @ left  # n × r
        of_x = None
        if ctx.needs_input_grad[0]:
            full = _in_full(ctx.reading, x) if ctx.reading else weight[0]
            of_x = _grad_of_input(grad, full, thin_grad, right)
        return of_x, (thin.T @ grad).T, thin_grad.T @ x, None, None


def _grad_of_input(grad: Tensor, weight: Tensor, thin_grad: Tensor, right: Tensor) -> Tensor:
    """g W₀ + (g B) A, n × d_in."""
    if torch.is_grad_enabled():
        return torch.addmm(grad @ weight, thin_grad, right)
    return (grad @ weight).addmm_(thin_grad, right)
