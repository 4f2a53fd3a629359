"""The hidden map H of a NEAT layer: all of f(W₀) but its last matrix, and what is cached of it between forwards."""

import zlib
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers.activations import ACT2FN

Key = tuple[tuple[Any, ...], ...]

BLOCK_ROWS = 256
EXACT_BELOW = 2**17  # elements


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


def thin_product(theta: Tensor, weight: Tensor) -> Tensor:
    """Θᵀ W for a thin Θᵀ (r × m) and a weight (m × n), without a copy of the weight.

    A weight in another precision is not cast whole. On a GPU Θ takes the weight's precision; on a CPU,
    whose half-precision kernels are many times slower at this shape, the weight is raised
    block of rows by block of rows.

    Returns:
        r × n, in the dtype of `theta`.
    """
    half = weight.dtype in (torch.bfloat16, torch.float16)
    if weight.dtype == theta.dtype and not (half and weight.device.type == "cpu"):
        # (r × m)(m × n); for a transposed weight the same product from the other side
        return theta @ weight if weight.is_contiguous() else (weight.T @ theta.T).T.contiguous()
    if weight.device.type != "cpu":
        return (theta.to(weight.dtype) @ weight).to(theta.dtype)
    wide = torch.promote_types(theta.dtype, torch.float32)
    total = torch.zeros(theta.shape[0], weight.shape[1], dtype=wide, device=theta.device)
    for rows, block in zip(theta.to(wide).split(BLOCK_ROWS, dim=1), weight.split(BLOCK_ROWS), strict=True):
        total.addmm_(rows, block.to(wide))  # (r × b)(b × n)
    return total.to(theta.dtype)


class _Product(torch.autograd.Function):
    """Θᵀ W₀ with a gradient for Θ alone; its value may be cached from an earlier forward."""

    @staticmethod
    def forward(ctx: Any, theta: Tensor, weight: Tensor, value: Callable[[], Tensor]) -> Tensor:
        ctx.save_for_backward(weight)
        product = value()
        return product.view_as(product)  # an alias: autograd writes its history on what is returned

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (weight,) = ctx.saved_tensors
        return thin_product(grads[0], weight.T), None, None


def fingerprint(tensors: Sequence[Tensor]) -> Key | None:
    """What changes when any of the tensors does, or None where that cannot be told.

    Autograd's version counter sees every in-place change but those made through `.data`; on a CPU a checksum,
    cheap beside any forward, sees these too. On a GPU it would stall the queue: there an edit through `.data` is
    noticed at the next change between training and evaluation. Inference tensors have no counter, tensors under
    torch.func no storage, and sharded training (FSDP) rewrites parameters behind the counter.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return None
    if any(tensor.is_inference() or not tensor.is_leaf for tensor in tensors):
        return None
    try:
        return tuple((*_identity(tensor.detach()), tensor._version) for tensor in tensors)
    except RuntimeError:  # a wrapper of torch.func: no address, no values
        return None


def _identity(tensor: Tensor) -> tuple[Any, ...]:
    checksum = _checksum(tensor) if tensor.device.type == "cpu" else 0
    return tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype, tensor.device, checksum


def _checksum(tensor: Tensor) -> int:
    """Of the bytes themselves for a thin matrix, of the row sums for a weight, which is read once either way."""
    if tensor.numel() > EXACT_BELOW:
        tensor = tensor.sum(dim=-1, dtype=torch.promote_types(tensor.dtype, torch.float32))
    return zlib.crc32(tensor.contiguous().view(torch.uint8).numpy().data)


class Memo:
    """One value and the fingerprint of the tensors that it was computed from."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget the value."""
        self._key: Key | None = None
        self._value: Any = None

    def get(self, key: Key | None, compute: Callable[[], Any]) -> Any:
        """The cached value if `key` is the one it was computed under, else a new one."""
        if key is None:
            return compute()
        if key != self._key:
            self._value, self._key = compute(), key
        return self._value


def weight_product(theta: Tensor, weight: Tensor, memo: Memo, key: Key | None) -> Tensor:
    """Θᵀ W₀ (r × n), taken from `memo` where neither has changed since."""

    def value() -> Tensor:
        with torch.inference_mode(False), torch.no_grad():  # an inference tensor could not serve a later training step
            return memo.get(key, lambda: thin_product(theta.detach(), weight))

    if key is None:
        return thin_product(theta, weight)
    return _Product.apply(theta, weight, value) if torch.is_grad_enabled() else value()


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
