"""A model with NEAT layers, as PEFT makes, names and switches them."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast

from peft.tuners.lora import LoraModel
from peft.tuners.tuners_utils import BaseTuner
from peft.utils import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING, AuxiliaryTrainingWrapper
from peft.utils.other import get_pattern_key
from peft.utils.quantization_utils import get_quantization_kwargs
from torch import nn

from neatlab.adapters.neat.config import NeatConfig
from neatlab.adapters.neat.layer import NeatLayer
from neatlab.adapters.neat.sums import fill_sum, sum_config
from neatlab.adapters.neat.targets import layer_class, warn_of_experts
from neatlab.adapters.neat.tying import keep_apart, mirrored, share, tied_source
from neatlab.errors import BadInput, unknown

BASE = "__base__"  # PEFT's name for no adapter, in a batch with one for each row


class NeatModel(BaseTuner):
    """A model whose target layers are `NeatLayer`; made by `peft.get_peft_model(model, NeatConfig(...))`."""

    prefix = "neat_"
    tuner_layer_cls = NeatLayer
    target_module_mapping: Any = TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
    _add_modules_to_save_to_tie = cast(Any, LoraModel._add_modules_to_save_to_tie)
    _add_targets_to_tie = cast(Any, LoraModel._add_targets_to_tie)

    def inject_adapter(self, model: nn.Module, adapter_name: str, *args: Any, **kwargs: Any) -> None:
        """Put the adapter's layers into the model.

        Raises:
            BadInput: A pattern of `rank_pattern` or `scaling_pattern` that fits no module.
        """
        config: Any = self.peft_config[adapter_name]
        _check_patterns(config, model)
        wants_all = config.target_modules == "all-linear"  # PEFT puts the names in its place
        super().inject_adapter(model, adapter_name, *args, **kwargs)
        if wants_all:
            warn_of_experts(model)

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
        config = _of_layer(peft_config, current_key)
        requantise = get_quantization_kwargs(self.model).get("get_apply_tensor_subclass")
        source = tied_source(self, peft_config, current_key)
        config = config if source is None else mirrored(source, adapter_name, target)
        make = layer_class(target, current_key, config, requantise)
        if isinstance(target, NeatLayer):
            layer = target
            layer.update_layer(adapter_name, config)
        else:
            layer = make(target, adapter_name, config, requantise)
            if adapter_name not in self.active_adapters:
                layer.requires_grad_(False)
            keep_apart(layer, self.model)
            self._replace_module(parent, target_name, layer, target)
        if source is not None:
            share(source, layer, adapter_name)

    @contextmanager
    def _enable_peft_forward_hooks(self, *args: Any, **kwargs: Any) -> Iterator[None]:
        """Give each layer the adapters of the rows of a batch; PEFT calls it around forward and generate."""
        names = kwargs.get("adapter_names")
        handles = [] if names is None else self._give_names(list(names), kwargs.get("num_beams") or 1)
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _give_names(self, names: list[str], beams: int) -> list[Any]:
        if self.training:
            raise BadInput("adapter_names are for inference; call eval() first")
        for name in names:
            if name != BASE and name not in self.peft_config:
                raise unknown("adapter in adapter_names", name, [*self.peft_config, BASE])
        encoder = set(_encoder_modules(self.model))  # it sees each row once, also where a decoder searches with beams
        repeated = [name for name in names for _ in range(beams)]
        return [
            module.register_forward_pre_hook(_naming(names if module in encoder else repeated), with_kwargs=True)
            for module in self.modules()
            if isinstance(module, NeatLayer | AuxiliaryTrainingWrapper)
        ]

    def add_weighted_adapter(
        self, adapters: Sequence[str], weights: Sequence[float], adapter_name: str, combination_type: str = "cat"
    ) -> None:
        """Add the adapter with ΔW = Σ wᵢ ΔWᵢ, exactly: NEATs beside each other are a NEAT of summed rank.

        Args:
            adapters: Adapters of one depth, activation, residual, orientation and conditioning.
            weights: wᵢ, one for each.
            adapter_name: The new one's name; it is not active and does not train.
            combination_type: "cat", as with LoRA; there is no other.

        Raises:
            BadInput: Adapters that are no NEAT together, or whose summed rank exceeds a layer.

        Example:
            >>> import neatlab, peft, torch
            >>> config = neatlab.NeatConfig(r=2, target_modules=["0"])
            >>> model = peft.get_peft_model(torch.nn.Sequential(torch.nn.Linear(8, 4)), config, "a")
            >>> model.add_adapter("b", config)
            >>> model.add_weighted_adapter(["a", "b"], [0.5, 0.5], "both")
            >>> model.peft_config["both"].r
            4
        """
        if combination_type != "cat":
            raise unknown("combination_type", combination_type, ["cat"])
        layers = {
            n: m for n, m in self.model.named_modules() if isinstance(m, NeatLayer) and any(map(m.holds, adapters))
        }
        self.peft_config[adapter_name] = sum_config(self.peft_config, adapters, weights, adapter_name, layers)
        try:
            self.inject_adapter(self.model, adapter_name)
        except BadInput:
            del self.peft_config[adapter_name]
            for layer in filter(lambda one: one.holds(adapter_name), layers.values()):
                layer.delete_adapter(adapter_name)
            raise
        for layer in layers.values():
            fill_sum(layer, dict(zip(adapters, weights, strict=True)), adapter_name)


def _naming(names: Sequence[str]) -> Any:
    return lambda _module, args, kwargs: (args, {**kwargs, "adapter_names": names})


def _encoder_modules(model: Any) -> Iterator[nn.Module]:
    encoder = model.get_encoder() if hasattr(model, "get_encoder") else None
    return iter(()) if encoder is None or encoder is model else encoder.modules()


def _check_patterns(config: NeatConfig, model: nn.Module) -> None:
    """Before anything is changed; where a pattern fits a module that is no target, PEFT warns."""
    names = [name for name, _ in model.named_modules()]
    for field in ("rank_pattern", "scaling_pattern"):
        for pattern in getattr(config, field):
            if not any(re.match(rf"(.*\.)?({pattern})$", name) for name in names):
                raise unknown(f"module in {field}", pattern, {name.rpartition(".")[2] for name in names if name})


def _of_layer(config: NeatConfig, name: str) -> NeatConfig:
    """The configuration with what its patterns say of a layer."""
    rank = config.rank_pattern.get(get_pattern_key([*config.rank_pattern], name), config.r)
    scaling = config.scaling_pattern.get(get_pattern_key([*config.scaling_pattern], name), config.scaling)
    return config if (rank, scaling) == (config.r, config.scaling) else replace(config, r=rank, scaling=scaling)
