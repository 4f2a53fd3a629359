"""The thin factors of ΔW that a layer's Θ make with W₀, kept where possible."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from neatlab.adapters.factors import Factors
from neatlab.adapters.neat.fused import SharedReading
from neatlab.adapters.neat.offload import is_offloaded, onloaded
from neatlab.adapters.neat.parameters import NeatParameters


class NeatFactors(NeatParameters):
    """A layer's ΔW as two thin factors; how they meet an input is `NeatLayer`'s."""

    def factors(self, adapter_name: str) -> Factors:
        """ΔW = left @ right with left d_out × r and right r × d_in, the scaling folded in.

        With gradients enabled they carry the graph to every Θ; without, they are cached until a Θ or W₀
        changes.
        """
        if torch.is_grad_enabled() or torch.compiler.is_compiling():
            return self._compute_factors(adapter_name)
        return self.neat_memo[adapter_name].factors.get(*self._sources(adapter_name), lambda: self._fixed(adapter_name))

    def served(self, adapter_name: str, dtype: torch.dtype, reading: SharedReading | None = None) -> Factors:
        """The factors in the precision of the layer's output; with a graph only where a Θ trains."""
        tensors, scaling = self._sources(adapter_name)
        if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
            return self._compute_factors(adapter_name, reading, dtype).to(dtype)
        return self.neat_memo[adapter_name].served.get(
            tensors, (scaling, dtype), lambda: self._fixed(adapter_name).to(dtype)
        )

    def _fixed(self, adapter_name: str) -> Factors:
        """The factors without a graph, fit to be kept: an inference tensor could not serve a later training step."""
        with torch.inference_mode(False), torch.no_grad():
            return self._compute_factors(adapter_name)

    def _sources(self, adapter_name: str) -> tuple[list[Tensor], float]:
        """What the factors are computed from: tensors, and the scaling."""
        activation: Any = self.neat_activation._modules[adapter_name]
        own = activation.parameters() if activation._modules else activation._parameters.values()
        return [*self.thetas(adapter_name), *own, self.stored_weight()], self.neat_config[adapter_name].scaling

    def _compute_factors(
        self, adapter_name: str, reading: SharedReading | None = None, dtype: torch.dtype | None = None
    ) -> Factors:
        if is_offloaded(self.base_layer):
            with onloaded(self):
                return self._factors_of_weights(adapter_name, None, dtype)
        return self._factors_of_weights(adapter_name, reading, dtype)

    def _factors_of_weights(
        self, adapter_name: str, reading: SharedReading | None, dtype: torch.dtype | None
    ) -> Factors:
        with _without_autocast(self.stored_weight().device.type):  # it would copy W₀ in every forward
            product = self._product(adapter_name, reading, dtype)
            hidden, last = self.hidden(adapter_name, product), self.last(adapter_name)
        # r × d_in and r × d_out where f maps over the outputs, the other way round where over the inputs
        return Factors(last.T, hidden) if self.maps_out(adapter_name) else Factors(hidden.T, last)


def _without_autocast(device: str) -> AbstractContextManager[object]:
    return torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else nullcontext()
