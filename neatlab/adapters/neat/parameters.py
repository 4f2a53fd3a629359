"""The matrices Θ of a layer's adapters: how they start, what they make with W₀, and when that is forgotten."""

import copy
import math
from collections.abc import Callable
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn

from neatlab.adapters.neat.config import NeatConfig, theta_shapes
from neatlab.adapters.neat.fused import SharedReading
from neatlab.adapters.neat.hidden import (
    ROUND_ONCE,
    Memo,
    ProductMemo,
    Weight,
    hidden_layers,
    make_activation,
    weight_product,
)
from neatlab.adapters.neat.magnitude import squared_norms
from neatlab.adapters.neat.merging import MergingLayer
from neatlab.adapters.neat.offload import check_gathered, onloaded
from neatlab.adapters.neat.start import calibration
from neatlab.adapters.neat.storage import storage_of
from neatlab.adapters.neat_sizes import maps_out
from neatlab.errors import BadInput


class Memos(NamedTuple):
    """What a layer keeps of an adapter between forwards.

    Args:
        product: Θ₁ᵀ W₀, between the micro-batches of a training step.
        factors: ΔW's factors, without gradients.
        served: The same in the precision of the layer's output.
        squares: The squared norms of W₀'s rows, for magnitudes.
        gain: What rows of W₀ + ΔW are multiplied by, without gradients.
    """

    product: ProductMemo
    factors: Memo
    served: Memo
    squares: Memo
    gain: Memo

    @classmethod
    def empty(cls) -> Self:
        """Nothing kept yet."""
        return cls(ProductMemo(), Memo(), Memo(), Memo(), Memo())


class NeatParameters(nn.Module, MergingLayer):
    """A layer's Θ and the products that they make; ΔW's factors are `NeatFactors`'s."""

    adapter_layer_names: tuple[str, ...] = ("neat_theta", "neat_activation", "neat_magnitude")
    other_param_names: tuple[str, ...] = ("neat_config", "neat_memo", "_initial_scaling")

    def __init__(
        self, base_layer: nn.Module, adapter_name: str, config: NeatConfig, requantise: Callable[[], Any] | None = None
    ) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.neat_theta = nn.ModuleDict()  # adapter → Θ₁ᵀ (r × m), Θ₂ᵀ … (r × r), Θ_L (r × n): thin matrices lie flat
        self.neat_activation = nn.ModuleDict()
        self.neat_magnitude = nn.ParameterDict()  # adapter → norms of the rows, d_out
        self.neat_config: dict[str, NeatConfig] = {}
        self.neat_memo: dict[str, Memos] = {}
        self._initial_scaling: dict[str, float] = {}
        self.merged_adapters: list[str] = []
        self._before_merge: Any = None
        self._disable_adapters = False
        self.storage = storage_of(self.get_base_layer(), requantise)
        self.out_features, self.in_features = self.storage.shape(self.get_base_layer())
        self._active_adapter = adapter_name
        self.update_layer(adapter_name, config)

    def update_layer(self, adapter_name: str, config: NeatConfig) -> None:
        """Add an adapter, or draw an existing one anew.

        Raises:
            BadInput: A rank above min(d_in, d_out).
        """
        limit = min(self.in_features, self.out_features)
        if config.r > limit:
            raise BadInput(f"r={config.r} on a {self.out_features} × {self.in_features} layer; allowed: 1 to {limit}")
        self.neat_config[adapter_name] = copy.copy(config)  # a layer's scaling may be set apart
        self._initial_scaling[adapter_name] = config.scaling
        self.neat_memo[adapter_name] = Memos.empty()
        self.neat_activation[adapter_name] = make_activation(config.activation, config.frequency)
        self.neat_theta[adapter_name] = nn.ParameterList(
            nn.Parameter(torch.empty(shape)) for shape in theta_shapes(config, self.in_features, self.out_features)
        )
        self.reset_parameters(adapter_name)
        self._move_adapter_to_device_of_base_layer(adapter_name)
        self._start_from_weight(adapter_name)
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def thetas(self, adapter_name: str) -> list[Tensor]:
        """Θ₁ᵀ, …, Θ_{L−1}ᵀ and Θ_L of an adapter, as they are stored."""
        return read_list(self.neat_theta._modules[adapter_name])

    def reset_parameters(self, adapter_name: str) -> None:
        """Θ uniform in ±1/√fan_in as in the authors' code; Θ_L zero, so that ΔW = 0."""
        *thetas, last = self.thetas(adapter_name)
        for theta in [*thetas, last.T]:  # fan_in is the second dimension
            nn.init.kaiming_uniform_(theta, a=math.sqrt(5))
        if self.neat_config[adapter_name].init_weights:
            nn.init.zeros_(last)

    @torch.no_grad()
    def _start_from_weight(self, adapter_name: str) -> None:
        """What a start takes from W₀: the size of Θ₁, and the magnitudes."""
        config, (first, *_) = self.neat_config[adapter_name], self.thetas(adapter_name)
        if config.use_dora:
            empty = torch.empty(self.out_features, dtype=first.dtype, device=first.device)
            self.neat_magnitude[adapter_name] = nn.Parameter(empty)
        if first.is_meta or self.stored_weight().is_meta:  # values come later, from a file
            return
        with onloaded(self):
            if config.use_dora:
                self.neat_magnitude[adapter_name].copy_(squared_norms(self.base_weight()).sqrt())
            if config.init_weights == "calibrated":
                product = self._product(adapter_name)
                first *= calibration(product, lambda p: self.hidden(adapter_name, p), self.drawn_size())

    def is_dora(self, adapter_name: str) -> bool:
        """Whether the rows of W₀ + ΔW have magnitudes of their own."""
        return self.neat_config[adapter_name].use_dora

    def drawn_size(self) -> float:
        """Root mean square of the matrix that PEFT's LoRA draws for such a layer: A, uniform in ±1/√d_in."""
        return 1 / math.sqrt(3 * self.in_features)

    def before_activation(self, adapter_name: str) -> Tensor:
        """What the first σ is applied to, r × n, without a graph."""
        with torch.no_grad():
            return self._product(adapter_name)

    def _product(
        self, adapter_name: str, reading: SharedReading | None = None, dtype: torch.dtype | None = None
    ) -> Tensor:
        """Θ₁ᵀ W₀, r × n; without conditioning the free matrix in its place.

        `reading` is how to read W₀ where another product reads it too, `dtype` what H is rounded to next.
        """
        first, *_ = self.thetas(adapter_name)  # r × m
        check_gathered(first)
        if self.neat_config[adapter_name].conditioning != "weight":
            return first
        memo = None if is_traced() else self.neat_memo[adapter_name].product
        read: Callable[[], Tensor] = reading or self.base_weight
        mapped = read if self.maps_out(adapter_name) else lambda: read().T  # m × n, the mapped side first
        weight = Weight(mapped, self.stored_weight(), self.storage.is_view)
        weight = weight._replace(release=reading.release) if reading else weight
        return weight_product(first, weight, memo, dtype if rounds_once(self.neat_config[adapter_name]) else None)

    def maps_out(self, adapter_name: str) -> bool:
        """Whether f acts on vectors of length d_out."""
        return maps_out(self.neat_config[adapter_name].orientation, self.in_features, self.out_features)

    def hidden(self, adapter_name: str, product: Tensor) -> Tensor:
        """Hᵀ (r × n) of Θ₁ᵀ W₀ (r × n), or of some of its columns."""
        _, *inner, _ = self.thetas(adapter_name)  # each r × r
        is_paired = self.neat_config[adapter_name].residual == "paired"
        return hidden_layers(product, inner, self.neat_activation[adapter_name], is_paired)

    def last(self, adapter_name: str) -> Tensor:
        """s·Θ_L, r × m: scaling the output instead would cost n × d_out."""
        last, scaling = self.thetas(adapter_name)[-1], self.neat_config[adapter_name].scaling
        return last if scaling == 1 else last * scaling

    def train(self, mode: bool = True) -> Self:
        """Change between training and evaluation; what was cached is forgotten with it."""
        if mode != self.training:
            self.refresh()
        super().train(mode)
        return self

    def set_adapter(self, adapter_names: str | list[str], inference_mode: bool = False) -> None:
        """Make these adapters the active ones; what was cached is forgotten with it."""
        self.refresh()
        super().set_adapter(adapter_names, inference_mode=inference_mode)

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        """Move or cast: torch does so through `.data`."""
        self.refresh()
        super()._apply(fn, recurse)
        return self

    def refresh(self) -> None:
        """Forget what was computed from W₀ and Θ: call it after an edit through `.data`."""
        for memo in (memo for memos in self.neat_memo.values() for memo in memos):
            memo.clear()

    def holds(self, adapter_name: str) -> bool:
        return adapter_name in self.neat_theta


def read_list(parameters: Any) -> list[Tensor]:
    """A list's parameters, at a twentieth of the time that iterating over it takes.

    Each is looked up, for ZeRO-3 gathers what is; FSDP may have put tensors in the parameters' places.
    """
    own = parameters._parameters
    return [own[name] for name in own] if len(own) == len(parameters) else list(parameters)


def rounds_once(config: NeatConfig) -> bool:
    """Whether Θ₁ᵀ W₀ may be rounded to what H is rounded to next, without a change to H."""
    return config.depth == 2 and config.activation in ROUND_ONCE


def is_traced() -> bool:
    """Whether torch.compile or torch.func looks at the operations: a function of our own would hide them."""
    return torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active()
