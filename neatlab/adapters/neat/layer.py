"""A linear layer whose update is a small MLP of its own frozen weight.

Zhong et al., "NEAT: Nonlinear Parameter-efficient Adaptation of Pre-trained Models" (arXiv:2410.01870; PEANuT from
version 3 on), equations 3 to 5.
"""

import copy
import math
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.pytorch_utils import Conv1D

from neatlab.adapters.factors import Factors
from neatlab.adapters.neat.config import NeatConfig
from neatlab.adapters.neat.fused import adapted_linear, is_few, is_plain
from neatlab.adapters.neat.hidden import Memo, ProductMemo, hidden_layers, make_activation, weight_product
from neatlab.adapters.neat.merging import MergingLayer
from neatlab.adapters.neat_sizes import maps_out, sides
from neatlab.errors import BadInput

BASE = "__base__"  # PEFT's name for no adapter, in a batch with one for each row


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


class NeatLinear(nn.Module, MergingLayer):
    """A linear layer with NEAT adapters: y = W₀x + b + s·Θ_Lᵀ (Hᵀ x), H = σ(…σ(M Θ₁)…).

    ΔW is never built: with Hᵀ = σ(…σ(Θ₁ᵀ W₀)…) of r × d_in the update costs what LoRA's does, and the
    extra product Θ₁ᵀ W₀ does not grow with the batch. It is cached between forwards in which neither Θ nor
    W₀ has changed; what is edited through `.data`, which torch's version counters do not see, needs `refresh()`.

    Args:
        base_layer: An `nn.Linear` or a transformers `Conv1D`, or a tuner layer around one.
        adapter_name: Name of the first adapter.
        config: Its configuration.

    Raises:
        BadInput: Another type of module, or a rank above min(d_in, d_out).
    """

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

    def train(self, mode: bool = True) -> "NeatLinear":
        """Change between training and evaluation; what was cached is forgotten with it."""
        if mode != self.training:
            self.refresh()
        super().train(mode)
        return self

    def set_adapter(self, adapter_names: str | list[str], inference_mode: bool = False) -> None:
        """Make these adapters the active ones; what was cached is forgotten with it."""
        self.refresh()
        super().set_adapter(adapter_names, inference_mode=inference_mode)

    def _apply(self, fn: Any, recurse: bool = True) -> "NeatLinear":
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

    def dead_units(self, adapter_name: str) -> float:
        """Share of the r columns of H that are 0 for every row of W₀: directions that ΔW cannot use.

        A ReLU's unit dies so; NaN without conditioning, whose H is free.
        """
        config = self.neat_config[adapter_name]
        if config.conditioning != "weight":
            return math.nan
        with torch.no_grad():
            factors = self.factors(adapter_name)
        over_out = maps_out(config.orientation, self.in_features, self.out_features)
        hidden = factors.right if over_out else factors.left.T  # Hᵀ, r × n
        return float((hidden == 0).all(dim=1).float().mean())

    def supports_lora_conversion(self, adapter_name: str = "default") -> bool:
        """True: a trained NEAT update is a product of two rank-r factors."""
        return True

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

    def forward(self, x: Tensor, *args: Any, adapter_names: Sequence[str] | None = None, **kwargs: Any) -> Tensor:
        if self.disable_adapters and self.merged:
            self.unmerge()
        is_base_alone = self.disable_adapters or self.merged
        thetas: Any = self._modules["neat_theta"]
        names = [] if is_base_alone else [name for name in self.active_adapters if name in thetas._modules]
        base: Any = self._modules["base_layer"]
        if adapter_names is not None:
            return self._mixed(base(x, *args, **kwargs), x, adapter_names)
        if len(names) == 1 and not args and not kwargs and not self._drops(names[0]) and is_plain(base, x):
            weight, bias = base._parameters["weight"], base._parameters["bias"]
            weight = weight.T if isinstance(base, Conv1D) else weight
            factors = self.factors(names[0]) if is_few(x) else self._served(names[0], x.dtype)
            return adapted_linear(x, weight, bias, factors)
        result = base(x, *args, **kwargs)
        for name in names:
            given = functional.dropout(x, self.neat_config[name].dropout) if self._drops(name) else x
            result = self.factors(name).add_to(result, given)
        return result

    def _drops(self, adapter_name: str) -> bool:
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
            result = result.index_copy(0, rows, self.factors(name).add_to(result[rows], x[rows]))
        return result

    def __repr__(self) -> str:
        return "neat." + super().__repr__()


def _is_traced() -> bool:
    """Whether torch.compile or torch.func looks at the operations: a function of our own would hide them."""
    return torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active()
