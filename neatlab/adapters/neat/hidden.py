"""The hidden map H of a NEAT layer: all of f(W₀) but its last matrix, and what is cached of it between forwards."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook
from transformers.activations import ACT2FN

State = tuple[Any, ...]

BLOCK_ROWS = 256


class Sine(nn.Module):
    """sin(frequency · x), the activation of sinusoidal networks (Sitzmann et al., arXiv:2006.09661)."""

    def __init__(self, frequency: float = 1.0) -> None:
        super().__init__()
        self.frequency = frequency

    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(self.frequency * x)


LAB_ACTIVATIONS = {"sin": Sine}  # those that transformers does not have; each is given the frequency


def activation_names() -> list[str]:
    """Every activation that a NEAT layer accepts: transformers' ACT2FN and the lab's."""
    return sorted([*ACT2FN, *LAB_ACTIVATIONS])


def make_activation(name: str, frequency: float = 1.0) -> nn.Module:
    """A fresh module for `name`; "prelu" and "xielu" bring parameters, which train with the adapter."""
    return LAB_ACTIVATIONS[name](frequency) if name in LAB_ACTIVATIONS else ACT2FN[name]


# Functions of their input alone, computed in float32 and rounded once, and so are their derivatives: what comes out in
# half precision is the same, to a rounding, whether the input stays in it or is cast to float32 and back.
ROUND_ONCE = {"gelu", "gelu_pytorch_tanh", "leaky_relu", "linear", "mish", "relu", "relu6", "silu", "swish"}


def thin_product(theta: Tensor, weight: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Θᵀ W for a thin Θᵀ (r × m) and a weight (m × n), without a copy of the weight.

    A weight in another precision is not cast whole: Θ takes that of a weight in half precision where there are kernels
    for it, on a GPU and for bfloat16 on the CPUs that have it; else the weight is cast block of rows by block of rows.

    Args:
        theta: Θᵀ.
        weight: W.
        dtype: Of the result, that of `theta` unless given.

    Returns:
        r × n.
    """
    dtype = dtype or theta.dtype
    if _is_one_product(theta, weight):
        return (theta.to(weight.dtype) @ weight).to(dtype)
    wide = torch.promote_types(theta.dtype, torch.float32)
    total = torch.zeros(theta.shape[0], weight.shape[1], dtype=wide, device=theta.device)
    for rows, block in zip(theta.to(wide).split(BLOCK_ROWS, dim=1), weight.split(BLOCK_ROWS), strict=True):
        total.addmm_(rows, block.to(wide))  # (r × b)(b × n)
    return total.to(dtype)


def _is_one_product(theta: Tensor, weight: Tensor) -> bool:
    """Whether they are multiplied in the weight's precision: Θ's too, or a half for which there are kernels."""
    if weight.dtype not in (torch.bfloat16, torch.float16):
        return weight.dtype == theta.dtype
    is_cpu = weight.device.type == "cpu"
    return not is_cpu or (weight.dtype == torch.bfloat16 and torch.cpu._is_avx512_bf16_supported())


class Weight(NamedTuple):
    """W₀ as a layer holds it.

    Args:
        read: Gives it as m × n.
        stored: The tensor that changes where it does.
        is_view: Whether what is read is a view of `stored`; else it is made at each reading, and must not be held.
        release: Called after the last reading of a backward pass.
    """

    read: Callable[[], Tensor]
    stored: Tensor
    is_view: bool
    release: Callable[[], None] = lambda: None


class _Product(torch.autograd.Function):
    """Θᵀ W₀ with a gradient for Θ alone; its value may be that of an earlier forward."""

    @staticmethod
    def forward(ctx: Any, theta: Tensor, weight: Weight, value: Tensor) -> Tensor:
        ctx.weight, ctx.dtype = weight, theta.dtype
        ctx.save_for_backward(*[weight.read()] if weight.is_view else [])
        return value.view_as(value)  # an alias: autograd writes its history on what is returned

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (weight,) = ctx.saved_tensors or (ctx.weight.read(),)
        grad = thin_product(grads[0], weight.T, ctx.dtype)
        ctx.weight.release()
        return grad, None, None


class Memo:
    """One value, and the tensors that it was computed from as they were then; a copy of it starts empty.

    Autograd's version counters see every change in place but those through `.data`; the steps of torch's optimisers
    are counted besides, for some of them write so. Any other edit through `.data` needs `clear`. The tensors are
    held, so that no other can take the address of one that is gone.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget the value."""
        self._tensors: Sequence[Tensor] = ()
        self._state: State | None = None
        self._value: Any = None

    def get(self, tensors: Sequence[Tensor], settings: Any, compute: Callable[[], Any]) -> Any:
        """The value computed before if neither tensors nor settings have changed since, else a new one."""
        state = _state(tensors, settings)
        if state is None:
            return compute()
        if state != self._state:
            self._value, self._state, self._tensors = compute(), state, tensors
        return self._value

    def __deepcopy__(self, _: Any) -> "Memo":
        return type(self)()

    def __reduce__(self) -> tuple[type["Memo"], tuple[()]]:
        return type(self), ()


def _state(tensors: Sequence[Tensor], settings: Any) -> State | None:
    """What changes with any of the tensors, or None where that cannot be told.

    Inference tensors have no counter, tensors under torch.func no storage, and sharded training (FSDP) rewrites
    parameters behind the counter.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return None
    try:
        state = [(id(t), t.data_ptr(), t._version) for t in tensors if t.is_leaf]
    except RuntimeError:
        return None
    return (settings, _optimiser_steps, *state) if len(state) == len(tensors) else None


def _count_step(*_: Any) -> None:
    global _optimiser_steps
    _optimiser_steps += 1


_optimiser_steps = 0
register_optimizer_step_post_hook(_count_step)


class ProductMemo(Memo):
    """Θ₁ᵀ W₀ of the last forward, for the micro-batches of one optimiser step: on a CPU, where Θ₁ itself is compared.

    On a GPU that would stall the queue.
    """

    def product(self, theta: Tensor, weight: Weight, dtype: torch.dtype) -> Tensor:
        """Θᵀ W₀ (r × n) without its graph, computed anew where Θ or W₀, as it is stored, is not what it was."""
        theta = theta.detach()
        if theta.device.type != "cpu":
            return thin_product(theta, weight.read(), dtype)
        if self._value is not None and not _is_equal(self._value[0], theta):
            self.clear()
        value = self.get([weight.stored], dtype, lambda: (theta.clone(), thin_product(theta, weight.read(), dtype)))
        return value[1]

    def keep(self, theta: Tensor, weight: Weight, product: Tensor) -> None:
        """Have the next micro-batch find this product."""
        if theta.device.type == "cpu":
            self.clear()
            self.get([weight.stored], product.dtype, lambda: (theta.detach().clone(), product.detach()))


def _is_equal(a: Tensor, b: Tensor) -> bool:
    try:
        return torch.equal(a, b)
    except RuntimeError:  # of different types, or without values, as fake tensors are
        return False


def weight_product(theta: Tensor, weight: Weight, memo: ProductMemo | None, dtype: torch.dtype | None = None) -> Tensor:
    """Θᵀ W₀ (r × n), by way of `memo` where there is one; else by operations that torch.func can trace."""
    dtype = dtype or theta.dtype
    if memo is None or not torch.is_grad_enabled():
        return thin_product(theta, weight.read(), dtype)
    if weight.is_view and not _is_later_micro_batch(theta) and _is_one_product(theta, matrix := weight.read()):
        product = thin_product(theta, matrix, dtype)  # autograd's own is quicker than a function of ours
        memo.keep(theta, weight, product)
        return product
    with torch.no_grad():
        value = memo.product(theta, weight, dtype)
    return _Product.apply(theta, weight, value)


def _is_later_micro_batch(theta: Tensor) -> bool:
    """Whether Θ has a gradient already, so that it is likely to be what it was."""
    return theta.is_leaf and theta.grad is not None


def hidden_layers(product: Tensor, inner: Sequence[Tensor], activation: nn.Module, paired: bool) -> Tensor:
    """Hᵀ = σ(Θ_{L−1}ᵀ … σ(Θ₂ᵀ σ(Θ₁ᵀ W₀))), transposed throughout so that each product is r × r by r × n.

    Args:
        product: Θ₁ᵀ W₀, r × n.
        inner: Θ₂ᵀ … Θ_{L−1}ᵀ, each r × r.
        activation: σ.
        paired: Whether the i-th hidden layer from the back adds the i-th from the front.

    Returns:
        r × n.
    """
    hidden = activation(product)  # r × n
    if not paired:
        for theta in inner:
            hidden = activation(theta @ hidden)  # (r × r)(r × n)
        return hidden
    half, skips = len(inner) // 2, []
    for theta in inner[:half]:
        skips.append(hidden)
        hidden = activation(theta @ hidden)
    for theta in inner[half:]:
        hidden = activation(theta @ hidden) + skips.pop()  # r × n, the last skip first
    return hidden
