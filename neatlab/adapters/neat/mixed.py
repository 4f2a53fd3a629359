"""NEAT beside other methods in one layer: PEFT's mixed models know a fixed list of methods, to which this adds NEAT.

ΔW is f(W₀), so a NEAT layer lies innermost, and it is merged before the others write into the weight.
"""

import inspect
import warnings
from collections.abc import Callable
from functools import wraps
from typing import Any, Union, cast

from peft.mapping import PEFT_TYPE_TO_MIXED_MODEL_MAPPING
from peft.tuners import mixed as mixed_package
from peft.tuners.mixed import MixedModel
from peft.tuners.mixed import model as mixed
from peft.tuners.tuners_utils import BaseTunerLayer

from neatlab.adapters.neat.config import PEFT_TYPE, NeatConfig
from neatlab.adapters.neat.layer import NeatLayer
from neatlab.adapters.neat.model import NeatModel


def register() -> None:
    """Let `get_peft_model(model, config, mixed=True)` and `PeftMixedModel` take a NEAT among the others."""
    types = cast(Any, (*mixed.COMPATIBLE_TUNER_TYPES, PEFT_TYPE))
    mixed.COMPATIBLE_TUNER_TYPES = mixed_package.COMPATIBLE_TUNER_TYPES = types
    mixed.PREFIXES.append(NeatModel.prefix)
    mixed.Layers = cast(Any, (*mixed.Layers, NeatLayer))
    mixed.Configs = cast(Any, Union[mixed.Configs, NeatConfig])  # noqa: UP007 - PEFT reads its __args__
    model: Any = MixedModel
    PEFT_TYPE_TO_MIXED_MODEL_MAPPING[cast(Any, PEFT_TYPE)] = model
    model._create_and_replace = _creating(model._create_and_replace)
    model._unload_and_optionally_merge = _merging_neat_first(model._unload_and_optionally_merge)
    model.merge_adapter = _merging_neat_first(model.merge_adapter)


def _creating(create: Callable[..., None]) -> Callable[..., None]:
    @wraps(create)
    def create_and_replace(
        self: Any, config: Any, adapter_name: str, target: Any, target_name: str, parent: Any, *args: Any, **kwargs: Any
    ) -> None:
        if not isinstance(config, NeatConfig):
            create(self, config, adapter_name, target, target_name, parent, *args, **kwargs)
            return
        while isinstance(target, BaseTunerLayer) and not isinstance(target, NeatLayer):
            parent, target_name, target = target, "base_layer", cast(Any, target).base_layer
        NeatModel._create_and_replace(self, config, adapter_name, target, target_name, parent, *args, **kwargs)

    return create_and_replace


def _merging_neat_first(merge: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(merge)

    @wraps(merge)
    def merge_all(self: Any, *args: Any, **kwargs: Any) -> Any:
        options = signature.bind(self, *args, **kwargs).arguments
        if options.get("merge", True):
            for layer in filter(lambda module: isinstance(module, NeatLayer), self.model.modules()):
                layer.merge(options.get("safe_merge", False), options.get("adapter_names"))
        with warnings.catch_warnings():  # the others' turn comes to NEAT's layers again
            warnings.filterwarnings("ignore", message="All adapters are already merged")
            return merge(self, *args, **kwargs)

    return merge_all
