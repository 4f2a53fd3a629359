"""What every layer with NEAT adapters does, whatever it stands on: the update added to the base layer's output."""

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from neatlab.adapters.neat.layer_factors import NeatFactors
from neatlab.errors import BadInput


class NeatLayer(NeatFactors):
    """A layer with NEAT adapters: y = W₀x + b + s·Θ_Lᵀ (Hᵀ x), H = σ(…σ(M Θ₁)…).

    Args:
        base_layer: The layer, or a tuner layer around one.
        adapter_name: Name of the first adapter.
        config: Its configuration.
        requantise: What torchao quantises merged weights by.

    Raises:
        BadInput: A rank above min(d_in, d_out).
    """

    @staticmethod
    def unsupported(base: Any) -> str:
        """What about a base layer of this kind is beyond NEAT, "" for nothing."""
        return ""

    @abstractmethod
    def add_update(self, result: Tensor, x: Tensor, adapter_name: str, frozen: Tensor | None) -> Tensor:
        """A result with ΔW x added.

        Args:
            result: The base layer's, with what other adapters have added.
            x: The layer's input.
            adapter_name: Whose ΔW.
            frozen: The base layer's result for this x; None where there is none, for x has met dropout.
        """

    def fused(self, x: Tensor, adapter_name: str) -> Tensor | None:
        """Base layer and update in one, or None where they cannot be."""
        return None

    def forward(self, x: Tensor, *args: Any, adapter_names: Sequence[str] | None = None, **kwargs: Any) -> Tensor:
        if self.disable_adapters and self.merged:
            self.unmerge()
        is_base_alone = self.disable_adapters or self.merged
        thetas: Any = self._modules["neat_theta"]
        names = [] if is_base_alone else [name for name in self.active_adapters if name in thetas._modules]
        base: Any = self._modules["base_layer"]
        if adapter_names is not None:
            return self._mixed(base(x, *args, **kwargs), x, adapter_names)
        if len(names) == 1 and not args and not kwargs and (result := self.fused(x, names[0])) is not None:
            return result
        frozen = result = base(x, *args, **kwargs)
        for name in names:
            if self.drops(name):
                result = self.add_update(result, functional.dropout(x, self.neat_config[name].dropout), name, None)
            else:
                result = self.add_update(result, x, name, frozen)
        return result

    def drops(self, adapter_name: str) -> bool:
        """Whether the update's input meets dropout now."""
        return self.training and self.neat_config[adapter_name].dropout > 0

    def _mixed(self, result: Tensor, x: Tensor, adapter_names: Sequence[str]) -> Tensor:
        """The base layer's result with each row's own adapter added to it."""
        if len(adapter_names) != len(x):
            raise BadInput(f"{len(adapter_names)} adapter_names for a batch of {len(x)} rows; give one for each")
        if self.merged:
            raise BadInput("adapter_names and merged adapters: unmerge them first, with unmerge_adapter()")
        if self.disable_adapters:
            return result
        for name in filter(self.holds, dict.fromkeys(adapter_names)):
            rows = torch.tensor([i for i, own in enumerate(adapter_names) if own == name], device=x.device)
            result = result.index_copy(0, rows, self.add_update(result[rows], x[rows], name, result[rows]))
        return result

    def dead_units(self, adapter_name: str) -> float:
        """Share of the r columns of H that are 0 for every row of W₀: directions that ΔW cannot use.

        A ReLU's unit dies so; NaN without conditioning, whose H is free.
        """
        config = self.neat_config[adapter_name]
        if config.conditioning != "weight":
            return math.nan
        with torch.no_grad():
            factors = self.factors(adapter_name)
        hidden = factors.right if self.maps_out(adapter_name) else factors.left.T  # Hᵀ, r × n
        return float((hidden == 0).all(dim=1).float().mean())

    def supports_lora_conversion(self, adapter_name: str = "default") -> bool:
        """Whether the update is a product of two rank-r factors: every NEAT's is, without magnitudes."""
        return not self.is_dora(adapter_name)

    def set_scale(self, adapter: str, scale: float) -> None:
        """Set the adapter's scaling to `scale` times the configured one, as Diffusers' `set_adapters` does."""
        if self.holds(adapter):
            self.neat_config[adapter].scaling = scale * self._initial_scaling[adapter]

    def scale_layer(self, scale: float) -> None:
        """Multiply the scaling of the active adapters."""
        for name in filter(self.holds, self.active_adapters):
            self.neat_config[name].scaling *= scale

    def unscale_layer(self, scale: float | None = None) -> None:
        """Divide the scaling of the active adapters; without `scale`, back to the configured one."""
        for name in filter(self.holds, self.active_adapters):
            config, initial = self.neat_config[name], self._initial_scaling[name]
            config.scaling = initial if scale is None else config.scaling / scale

    def __repr__(self) -> str:
        return "neat." + super().__repr__()
