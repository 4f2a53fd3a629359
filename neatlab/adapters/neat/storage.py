"""How a base layer stores its weight: read as W₀, d_out × d_in, and written when an adapter is merged."""

import copy
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
from peft.utils import resolve_quantization_backend
from peft.utils.quantization_utils import QuantizationBackend
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from neatlab.adapters.neat.offload import check_gathered
from neatlab.errors import BadInput


class PlainStorage:
    """A weight in floating point, of which W₀ is a view.

    Args:
        base: The layer: linear, an embedding (d_in is the number of rows), or a convolution (d_in covers its window).
    """

    is_view = True

    def __init__(self, base: nn.Module) -> None:
        self._is_transposed = isinstance(base, Conv1D | nn.Embedding)

    def shape(self, base: Any) -> tuple[int, int]:
        """(d_out, d_in)."""
        shape = getattr(base.weight, "ds_shape", base.weight.shape)  # ZeRO-3 leaves the weight itself empty
        d_out, d_in = self._matrix(torch.empty(shape, device="meta")).shape
        return d_out, d_in

    def read(self, base: Any, before: Any = None) -> Tensor:
        """W₀, d_out × d_in; from `before`, what `save` gave, where something is merged.

        Raises:
            BadInput: ZeRO-3 has partitioned it.
        """
        weight: Tensor = base.weight
        if before is not None:
            return self._matrix(before.detach().to(weight.device))
        check_gathered(weight)
        return self._matrix(weight.detach())

    def stored(self, base: Any, before: Any = None) -> Tensor:
        """The tensor that changes where W₀ does."""
        return base.weight if before is None else before

    def like_weight(self, base: Any, matrix: Tensor) -> Tensor:
        """A d_out × d_in matrix in the shape and precision of the layer's weight."""
        return (matrix.T if self._is_transposed else matrix).reshape(base.weight.shape).to(base.weight.dtype)

    def save(self, base: Any) -> Any:
        """What W₀ is restored from: a copy on the CPU."""
        return base.weight.detach().clone().cpu()

    def check_writable(self) -> None:
        """Any matrix can be written."""

    def write(self, layer: Any, matrix: Tensor) -> None:
        """Put a matrix in the place of W₀."""
        base = layer.get_base_layer()
        base.weight.copy_(self.like_weight(base, matrix))

    def restore(self, layer: Any, before: Any) -> None:
        """Put W₀ back, bit by bit."""
        layer.get_base_layer().weight.copy_(before)

    def _matrix(self, weight: Tensor) -> Tensor:
        if weight.dim() > 2:
            return weight.flatten(1)
        return weight.T if self._is_transposed else weight


class SharedStorage(PlainStorage):
    """A weight that other modules have too: what is merged goes into one of the layer's own.

    Args:
        base: The layer.
    """

    def __init__(self, base: nn.Module) -> None:
        super().__init__(base)
        self.partner: SharedStorage | None = None  # of the layer that has the same adapters
        self._merged: nn.Parameter | None = None

    def save(self, base: Any) -> Any:
        """What W₀ is restored from: the weight itself."""
        return base.weight

    def write(self, layer: Any, matrix: Tensor) -> None:
        """Put a matrix in the place of W₀ in this layer alone, and in the partner's where that holds the same."""
        base = layer.get_base_layer()
        self._merged = nn.Parameter(self.like_weight(base, matrix).contiguous(), requires_grad=False)
        other = None if self.partner is None else self.partner._merged
        if other is not None and _is_close(other, self._merged):
            self._merged = other
        base.weight = self._merged

    def restore(self, layer: Any, before: Any) -> None:
        """Put W₀ back, for all modules that have it."""
        layer.get_base_layer().weight, self._merged = before, None


class QuantisedStorage:
    """A weight in few bits: W₀ is what it stands for, made anew at each reading, never held.

    Args:
        backend: PEFT's way to read and write it.
    """

    is_view = False

    def __init__(self, backend: QuantizationBackend) -> None:
        self.backend = backend

    def shape(self, base: Any) -> tuple[int, int]:
        """(d_out, d_in)."""
        return base.out_features, base.in_features

    def read(self, base: Any, before: Any = None) -> Tensor:
        """W₀, d_out × d_in, in the precision that the backend computes in.

        Raises:
            BadInput: ZeRO-3 has partitioned it.
        """
        check_gathered(self.stored(base, before))
        with torch.no_grad():
            return self.backend.get_base_weight(base if before is None else before).detach()

    def stored(self, base: Any, before: Any = None) -> Tensor:
        """The tensor that holds the few bits."""
        holder = base if before is None else before
        weight = holder.weight if getattr(holder, "W_q", None) is None else holder.W_q  # HQQ's
        while hasattr(weight, "__tensor_flatten__"):  # torchao wraps it in a tensor without storage
            weight = getattr(weight, weight.__tensor_flatten__()[0][0])
        return weight

    def like_weight(self, base: Any, matrix: Tensor) -> Tensor:
        """A d_out × d_in matrix in the precision of W₀."""
        return matrix.to(self.read(base).dtype)

    def save(self, base: Any) -> Any:
        """What W₀ is restored from: the few bits themselves, which merging replaces and does not change."""
        parts = {name: getattr(base, name, None) for name in ("W_q", "dequantize")}  # HQQ's
        state = copy.copy(getattr(base, "state", None))  # 8 bits of bitsandbytes: its scales
        return SimpleNamespace(base=base, weight=base._parameters.get("weight"), state=state, **parts)

    def check_writable(self) -> None:
        """Nothing is changed where it is not known how to quantise.

        Raises:
            BadInput: A model that torchao quantised by itself.
        """
        getattr(self.backend, "get_apply_tensor_subclass", lambda: None)()

    def write(self, layer: Any, matrix: Tensor) -> None:
        """Quantise a matrix in the place of W₀; how much that rounds is the backend's."""
        base = layer.get_base_layer()
        self.backend.set_base_weight(layer, matrix.to(self.read(base).dtype))
        if layer.get_base_layer() is not base:  # HQQ's is another layer, which PEFT makes without the bias
            layer.base_layer.bias = base.bias

    def restore(self, layer: Any, before: Any) -> None:
        """Put W₀ back, bit by bit."""
        if layer.get_base_layer() is not before.base:  # HQQ's is another layer
            layer.base_layer = before.base
            return
        before.base.weight = before.weight
        if before.state is not None:
            before.base.state = before.state


def _is_close(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors are the same up to rounding."""
    step = torch.finfo(a.dtype).eps
    return torch.allclose(a, b, rtol=4 * step, atol=float(a.abs().max()) * step)


Storage = PlainStorage | QuantisedStorage


def storage_of(base: nn.Module, requantise: Callable[[], Any] | None = None) -> Storage:
    """How this layer stores its weight.

    Args:
        base: The layer.
        requantise: What torchao quantises merged weights by, the model's `get_apply_tensor_subclass`.

    Raises:
        BadInput: A quantised layer whose weight cannot be read.
    """
    backend = resolve_quantization_backend(base, get_apply_tensor_subclass=requantise or _no_requantise)
    if backend is None:
        return PlainStorage(base)
    if not _is_readable(base, backend):
        raise BadInput(
            f"{type(base).__name__} is quantised by {backend.backend_name} in a form that cannot give W₀, and NEAT "
            "computes ΔW from it; allowed: bitsandbytes, HQQ, and those of torchao that dequantise"
        )
    _keep_readable(base)
    return QuantisedStorage(backend)


def _keep_readable(base: Any) -> None:
    """Have bitsandbytes leave 4 bits as they are: at the first evaluation on some CPUs it puts them into an order of
    its own, from which PEFT would read another W₀, and through which no gradient comes."""
    if getattr(base, "support_avx512bf16_for_cpu", False):
        base.support_avx512bf16_for_cpu = False
        if getattr(base.weight.quant_state, "packing_format_for_cpu", False):
            base.state_dict()  # puts them back


def _is_readable(base: Any, backend: QuantizationBackend) -> bool:
    if backend.supports_merge and backend.backend_name == "torchao":  # some of its tensors cannot be dequantised
        try:
            backend.get_base_weight(base)
        except NotImplementedError:
            return False
    return backend.supports_merge


def _no_requantise() -> Any:
    raise BadInput(
        "merging needs to know how torchao quantised the model, which it says only when transformers quantised it: "
        "from_pretrained(…, quantization_config=TorchAoConfig(…))"
    )
