"""A linear layer and its thin update in one: the update is added in place, forward and backward.

y = W₀x + b + B (A x), A = right (r × d_in), B = left (d_out × r)
∂x = W₀ᵀ g + Aᵀ (Bᵀ g): neither sum reads or allocates a tensor of the layer's output or input twice.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn import functional as F
from torch.nn.modules import module as modules
from transformers.pytorch_utils import Conv1D

from neatlab.adapters.factors import Factors

FEW_ROWS = 16


def is_plain(base: nn.Module, x: Tensor) -> bool:
    """Whether calling the base layer is the product with its frozen weight and nothing else.

    Not so where something hooks into it or has replaced its forward, and under torch.func, torch.compile and
    autocast, which see the operations that a layer is made of.
    """
    if type(base) not in (nn.Linear, Conv1D) or "forward" in base.__dict__:
        return False
    if base._forward_hooks or base._forward_pre_hooks or base._backward_hooks or base._backward_pre_hooks:
        return False
    if modules._has_any_global_hook() or torch._C._are_functorch_transforms_active() or torch.compiler.is_compiling():
        return False
    weight, bias = base._parameters["weight"], base._parameters["bias"]
    if type(weight) is not nn.Parameter or weight.requires_grad or (bias is not None and bias.requires_grad):
        return False
    is_dual = forward_ad._current_level >= 0
    return not is_dual and not torch.is_autocast_enabled(x.device.type)


def is_few(x: Tensor) -> bool:
    """Whether the rows are so few that a CPU's products in half precision take longer than those in float32."""
    half = x.dtype in (torch.bfloat16, torch.float16)
    return half and x.device.type == "cpu" and x.numel() <= FEW_ROWS * x.shape[-1] and not torch.is_grad_enabled()


def adapted_linear(x: Tensor, weight: Tensor, bias: Tensor | None, factors: Factors) -> Tensor:
    """W₀x + b + ΔW x.

    Args:
        x: … × d_in.
        weight: W₀, d_out × d_in, frozen.
        bias: d_out, frozen.
        factors: ΔW, in the precision of the output; in any where `is_few` says so.

    Returns:
        … × d_out.
    """
    flat = x.reshape(-1, x.shape[-1])  # n × d_in, a view wherever that is possible
    if torch.is_grad_enabled():
        result = _AdaptedLinear.apply(flat, factors.left, factors.right, weight, bias)
    else:
        result, _ = _forward(flat, factors.left, factors.right, weight, bias)
    return result.view(*x.shape[:-1], result.shape[-1])


def _forward(x: Tensor, left: Tensor, right: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
    """The output (n × d_out), and x Aᵀ (n × r)."""
    result, thin = F.linear(x, weight, bias), x.to(right.dtype) @ right.T
    if left.dtype != result.dtype:
        return result.add_(thin @ left.T), thin
    return result.addmm_(thin, left.T), thin


class _AdaptedLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, left: Tensor, right: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        result, thin = _forward(x, left, right, weight, bias)
        ctx.save_for_backward(x, left, right, weight, thin)
        return result

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, left, right, weight, thin = ctx.saved_tensors
        (grad,) = grads  # n × d_out
        if torch.is_grad_enabled():  # someone differentiates this in turn
            thin = x @ right.T
        thin_grad = grad @ left  # n × r
        of_x = _grad_of_input(grad, weight, thin_grad, right) if ctx.needs_input_grad[0] else None
        return of_x, (thin.T @ grad).T, thin_grad.T @ x, None, None


def _grad_of_input(grad: Tensor, weight: Tensor, thin_grad: Tensor, right: Tensor) -> Tensor:
    """g W₀ + (g B) A, n × d_in."""
    if torch.is_grad_enabled():
        return torch.addmm(grad @ weight, thin_grad, right)
    return (grad @ weight).addmm_(thin_grad, right)
