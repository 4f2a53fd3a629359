"""NEAT as a PEFT method: a linear layer's update is a small MLP of its own frozen weight.

Zhong et al., "NEAT: Nonlinear Parameter-efficient Adaptation of Pre-trained Models" (arXiv:2410.01870; PEANuT from
version 3 on), equations 3 to 5. Importing this module registers the type "NEAT" with PEFT.
"""

import math
import warnings
from typing import Any, cast

import torch
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING, PEFT_TYPE_TO_PREFIX_MAPPING, PEFT_TYPE_TO_TUNER_MAPPING
from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer
from peft.utils import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from neatlab.adapters.factors import Factors
from neatlab.adapters.neat.config import PEFT_TYPE, NeatConfig
from neatlab.adapters.neat.hidden import Memo, fingerprint, hidden_layers, make_activation, weight_product
from neatlab.adapters.neat.merging import MergingLayer
from neatlab.adapters.neat_sizes import maps_out, sides
from neatlab.errors import BadInput
from neatlab.runtime.versions import misfits

__all__ = ["NeatConfig", "NeatLinear", "NeatModel"]

for _line in misfits():  # otherwise met two calls later, as a traceback of transformers
    warnings.warn(_line, stacklevel=2)


class NeatLinear(nn.Module, MergingLayer):
    """A linear layer with NEAT adapters: y = W₀x + b + s·Θ_Lᵀ (Hᵀ x), H = σ(…σ(M Θ₁)…).

    ΔW is never built: with Hᵀ = σ(…σ(Θ₁ᵀ W₀)…) of r × d_in the update costs what LoRA's does, and the
    extra product Θ₁ᵀ W₀ does not grow with the batch. It is cached between forwards in which neither Θ nor
    W₀ has changed.

    Args:
        base_layer: An `nn.Linear` or a transformers `Conv1D`, or a tuner layer around one.
        adapter_name: Name of the first adapter.
        config: Its configuration.

    Raises:
        BadInput: Another type of module, or a rank above min(d_in, d_out).
    """

    adapter_layer_names: tuple[str, ...] = ("neat_theta", "neat_activation")
    other_param_names: tuple[str, ...] = ("neat_config", "neat_memo")

    def __init__(self, base_layer: nn.Module, adapter_name: str, config: NeatConfig) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.neat_theta = nn.ModuleDict()  # adapter → Θ₁ᵀ (r × m), Θ₂ᵀ … (r × r), Θ_L (r × n): thin matrices lie flat
        self.neat_activation = nn.ModuleDict()
        self.neat_config: dict[str, NeatConfig] = {}
        self.neat_memo: dict[str, tuple[Memo, Memo]] = {}
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
        self.neat_config[adapter_name] = config
        self.neat_memo[adapter_name] = (Memo(), Memo())
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
        if torch.compiler.is_compiling():
            return self._compute_factors(adapter_name, None)
        key = self._fingerprint(adapter_name)
        if torch.is_grad_enabled():
            return self._compute_factors(adapter_name, key)
        return self.neat_memo[adapter_name][1].get(key, lambda: self._compute_factors(adapter_name, key))

    def _fingerprint(self, adapter_name: str) -> Any:
        base: Any = self.get_base_layer()
        weight = base.weight if self._weight_before_merge is None else self._weight_before_merge
        modules = (self.neat_theta[adapter_name], self.neat_activation[adapter_name])
        key = fingerprint([weight, *(p for module in modules for p in module.parameters())])
        return key and (*key, self.neat_config[adapter_name].scaling)

    def _compute_factors(self, adapter_name: str, key: Any) -> Factors:
        config = self.neat_config[adapter_name]
        first, *inner, last = self.thetas(adapter_name)  # r × m, each r × r, r × n
        over_out = maps_out(config.orientation, self.in_features, self.out_features)
        with torch.autocast(first.device.type, enabled=False):  # autocast would copy W₀ in every forward
            if config.conditioning == "weight":
                weight = self.base_weight() if over_out else self.base_weight().T
                first = weight_product(first, weight, self.neat_memo[adapter_name][0], key)  # Θ₁ᵀ W₀, r × n
            hidden = hidden_layers(first, inner, self.neat_activation[adapter_name], config.residual == "paired")
            last = last * config.scaling  # the thin side: scaling the output would cost n × d_out
        # r × d_in and r × d_out where f maps over the outputs, the other way round where over the inputs
        return Factors(last.T, hidden) if over_out else Factors(hidden.T, last)

    def train(self, mode: bool = True) -> "NeatLinear":
        """Change between training and evaluation; what was cached is forgotten with it."""
        if mode != self.training:
            self.clear_memos()
        super().train(mode)
        return self

    def clear_memos(self) -> None:
        """Forget the cached products and factors of every adapter."""
        for memo in (memo for pair in self.neat_memo.values() for memo in pair):
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

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if self.disable_adapters and self.merged:
            self.unmerge()
        result = self.base_layer(x, *args, **kwargs)
        if self.disable_adapters or self.merged:
            return result
        for name in self.active_adapters:
            if name in self.neat_theta:
                result = self.factors(name).add_to(result, x)
        return result

    def __repr__(self) -> str:
        return "neat." + super().__repr__()


class NeatModel(BaseTuner):
    """A model whose target layers are `NeatLinear`; made by `peft.get_peft_model(model, NeatConfig(...))`."""

    prefix = "neat_"
    tuner_layer_cls = NeatLinear
    target_module_mapping: Any = TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING

    def _create_and_replace(
        self,
        peft_config: Any,
        adapter_name: str,
        target: nn.Module,
        target_name: str,
        parent: nn.Module,
        current_key: str,
        parameter_name: str | None = None,
    ) -> None:
        if isinstance(target, NeatLinear):
            target.update_layer(adapter_name, peft_config)
            return
        _check_supported(target, current_key)
        layer = NeatLinear(target, adapter_name, peft_config)
        if adapter_name not in self.active_adapters:
            layer.requires_grad_(False)
        self._replace_module(parent, target_name, layer, target)


def _check_supported(target: nn.Module, name: str) -> None:
    base: Any = target.get_base_layer() if isinstance(target, BaseTunerLayer) else target
    # nn.MultiheadAttention reads its output layer's weight without calling the layer: an adapter there has no effect.
    supported = isinstance(base, nn.Linear | Conv1D) and "NonDynamicallyQuantizable" not in type(base).__name__
    if not supported:
        raise BadInput(
            f"target module {name!r} is a {type(base).__name__}; NEAT adapts nn.Linear and transformers' Conv1D"
        )
    if not base.weight.is_floating_point():
        raise BadInput(f"target module {name!r} holds {base.weight.dtype} weights; NEAT needs floating-point ones")


PEFT_TYPE_TO_CONFIG_MAPPING[cast(Any, PEFT_TYPE)] = NeatConfig
PEFT_TYPE_TO_TUNER_MAPPING[cast(Any, PEFT_TYPE)] = NeatModel
PEFT_TYPE_TO_PREFIX_MAPPING[cast(Any, PEFT_TYPE)] = NeatModel.prefix
