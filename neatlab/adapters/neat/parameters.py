"""The matrices Θ of a layer's adapters, and the thin factors of ΔW that they make with W₀, kept where possible."""

import copy
import math
from typing import Any, NamedTuple, Self, cast

import torch
from torch import Tensor, nn

from neatlab.adapters.factors import Factors
from neatlab.adapters.neat.config import NeatConfig
from neatlab.adapters.neat.hidden import Memo, ProductMemo, hidden_layers, make_activation, weight_product
from neatlab.adapters.neat.merging import MergingLayer
from neatlab.adapters.neat.offload import is_offloaded, onloaded
from neatlab.adapters.neat_sizes import maps_out, sides
from neatlab.errors import BadInput


class Memos(NamedTuple):
    """What a layer keeps of an adapter between forwards.

    Args:
        product: Θ₁ᵀ W₀, between the micro-batches of a training step.
        factors: ΔW's factors, without gradients.
        served: The same in the precision of the layer's output.
    """

    product: ProductMemo
    factors: Memo
    served: Memo


class NeatParameters(nn.Module, MergingLayer):
    """A layer's Θ and what is computed from them; how the factors meet an input is `NeatLinear`'s."""

    adapter_layer_names: tuple[str, ...] = ("neat_theta", "neat_activation")
    other_param_names: tuple[str, ...] = ("neat_config", "neat_memo", "_initial_scaling")

    def __init__(self, base_layer: nn.Module, adapter_name: str, config: NeatConfig) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.neat_theta = nn.ModuleDict()  # adapter → Θ₁ᵀ (r × m), Θ₂ᵀ … (r × r), Θ_L (r × n): thin matrices lie flat
        self.neat_activation = nn.ModuleDict()
        self.neat_config: dict[str, NeatConfig] = {}
        self.neat_memo: dict[str, Memos] = {}
        self._initial_scaling: dict[str, float] = {}
        self.merged_adapters: list[str] = []
        self._weight_before_merge: Tensor | None = None
        self._disable_adapters = False
        weight = self.base_weight()
        self.out_features, self.in_features = weight.shape
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
        self.neat_memo[adapter_name] = Memos(ProductMemo(), Memo(), Memo())
        self.neat_activation[adapter_name] = make_activation(config.activation, config.frequency)
        self.neat_theta[adapter_name] = nn.ParameterList(
            nn.Parameter(torch.empty(shape)) for shape in self._theta_shapes(config)
        )
        self.reset_parameters(adapter_name)
        self._move_adapter_to_device_of_base_layer(adapter_name)
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def _theta_shapes(self, config: NeatConfig) -> list[tuple[int, int]]:
        mapped, other = sides(config.orientation, self.in_features, self.out_features)
        first = mapped if config.conditioning == "weight" else other
        return [(config.r, first), *[(config.r, config.r)] * (config.depth - 2), (config.r, mapped)]

    def thetas(self, adapter_name: str) -> list[Tensor]:
        """Θ₁ᵀ, …, Θ_{L−1}ᵀ and Θ_L of an adapter, as they are stored."""
        return list(cast(Any, self.neat_theta[adapter_name]))

    def reset_parameters(self, adapter_name: str) -> None:
        """Θ uniform in ±1/√fan_in as in the authors' code; Θ_L zero, so that ΔW = 0."""
        *thetas, last = self.thetas(adapter_name)
        for theta in [*thetas, last.T]:  # fan_in is the second dimension
            nn.init.kaiming_uniform_(theta, a=math.sqrt(5))
        if self.neat_config[adapter_name].init_weights:
            nn.init.zeros_(last)

    def factors(self, adapter_name: str) -> Factors:
        """ΔW = left @ right with left d_out × r and right r × d_in, the scaling folded in.

        With gradients enabled they carry the graph to every Θ; without, they are cached until a Θ or W₀
        changes.
        """
        if torch.is_grad_enabled() or torch.compiler.is_compiling():
            return self._compute_factors(adapter_name)
        return self.neat_memo[adapter_name].factors.get(*self._sources(adapter_name), lambda: self._fixed(adapter_name))

    def _served(self, adapter_name: str, dtype: torch.dtype) -> Factors:
        """The factors in the precision of the layer's output; with a graph only where a Θ trains."""
        tensors, scaling = self._sources(adapter_name)
        if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
            return self._compute_factors(adapter_name).to(dtype)
        return self.neat_memo[adapter_name].served.get(
            tensors, (scaling, dtype), lambda: self._fixed(adapter_name).to(dtype)
        )

    def _fixed(self, adapter_name: str) -> Factors:
        """The factors without a graph, fit to be kept: an inference tensor could not serve a later training step."""
        with torch.inference_mode(False), torch.no_grad():
            return self._compute_factors(adapter_name)

    def _sources(self, adapter_name: str) -> tuple[list[Tensor], float]:
        """What the factors are computed from: tensors, and the scaling."""
        modules: Any = self._modules
        tensors = [*modules["neat_theta"]._modules[adapter_name]._parameters.values()]
        tensors += modules["neat_activation"]._modules[adapter_name].parameters()
        tensors.append(self._stored_weight())
        return tensors, self.neat_config[adapter_name].scaling

    def _stored_weight(self) -> Tensor:
        """The tensor that holds W₀, before any merge."""
        base: Any = self.get_base_layer()
        return base.weight if self._weight_before_merge is None else self._weight_before_merge

    def _compute_factors(self, adapter_name: str) -> Factors:
        if is_offloaded(self.base_layer):
            with onloaded(self):
                return self._factors_of_weights(adapter_name)
        return self._factors_of_weights(adapter_name)

    def _factors_of_weights(self, adapter_name: str) -> Factors:
        config = self.neat_config[adapter_name]
        first, *inner, last = self.thetas(adapter_name)  # r × m, each r × r, r × n
        over_out = maps_out(config.orientation, self.in_features, self.out_features)
        with torch.autocast(first.device.type, enabled=False):  # autocast would copy W₀ in every forward
            if config.conditioning == "weight":
                weight = self.base_weight() if over_out else self.base_weight().T
                memo = None if _is_traced() else self.neat_memo[adapter_name].product
                first = weight_product(first, weight, self._stored_weight(), memo)  # Θ₁ᵀ W₀, r × n
            hidden = hidden_layers(first, inner, self.neat_activation[adapter_name], config.residual == "paired")
            if config.scaling != 1:
                last = last * config.scaling  # the thin side: scaling the output would cost n × d_out
        # r × d_in and r × d_out where f maps over the outputs, the other way round where over the inputs
        return Factors(last.T, hidden) if over_out else Factors(hidden.T, last)

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


def _is_traced() -> bool:
    """Whether torch.compile or torch.func looks at the operations: a function of our own would hide them."""
    return torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active()
