"""Which modules of a transformers model train whole, and which layers adapters go on."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

import torch
from torch import nn

from neatlab.errors import BadInput
from neatlab.runtime.lazy import lazy

known, layers = lazy("peft.utils.constants"), lazy("transformers.pytorch_utils")

USUAL = (["q_proj", "v_proj"], ["query", "value"], ["q_lin", "v_lin"], ["c_attn"], ["query_key_value"], ["qkv"])


def head_of(model: nn.Module, drawn: list[str]) -> list[str]:
    """Names of the modules beside the encoder that hold parameters, and of a pooler that the checkpoint lacks.

    Args:
        model: A transformers model with a task head.
        drawn: Parameters for which the checkpoint has no weights.

    Raises:
        BadInput: The checkpoint lacks other weights than those.
    """
    base = str(model.base_model_prefix)
    head = [name for name, child in model.named_children() if name != base and any(True for _ in child.parameters())]
    beyond = [name for name in drawn if not {*head} & {*name.split(".")}]
    unexpected = [name for name in beyond if "pooler" not in name.split(".")]
    if unexpected:
        raise BadInput(
            f"the model's weights lack {len(unexpected)} of its parameters, such as {unexpected[0]}; "
            "it is another model's"
        )
    return [*head, "pooler"] if beyond else head


def trained_outputs(auto_class: Any, config: Any, trained: Mapping[str, tuple[int, ...]]) -> int:
    """The outputs of a trained classifier: where its weights are wider than those of one with a single output.

    Args:
        auto_class: The transformers auto class that it was built by.
        config: The model's configuration; changed.
        trained: Name in the model → shape, of what was trained.
    """
    config.num_labels = 1
    with torch.device("meta"):
        narrow = auto_class.from_config(config, trust_remote_code=False)
    shapes = {name: tuple(parameter.shape) for name, parameter in narrow.named_parameters()}
    return max((trained[name][0] for name in shapes.keys() & trained if trained[name] != shapes[name]), default=1)


def linear_names(model: nn.Module) -> list[str]:
    """Last parts of the names of all layers that adapters can go on, in the model's order."""
    named = (name for name, module in model.named_modules() if isinstance(module, nn.Linear | layers.Conv1D))
    return list(dict.fromkeys(name.split(".")[-1] for name in named))


def usual_targets(model: nn.Module) -> list[str]:
    """The layers that adapters usually go on in this architecture: PEFT's for LoRA, else attention's by their names.

    Raises:
        BadInput: None of these is in the model.
    """
    kind = str(getattr(model.config, "model_type", ""))
    names = linear_names(model)
    for targets in ([*known.TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING.get(kind, [])], *USUAL):
        if targets and {*targets} <= {*names}:
            return targets
    raise BadInput(f"no usual target layers in a {kind} model; give targets=, of {', '.join(names)}")


def check_targets(model: nn.Module, targets: list[str]) -> None:
    """Refuse a pattern that matches nothing.

    Raises:
        BadInput: Says which, and the layers whose names are nearest.
    """
    every = [name for name, module in model.named_modules() if isinstance(module, nn.Linear | layers.Conv1D)]
    for target in targets:
        if not any(f".{name}".endswith(f".{target}") for name in every):
            names = linear_names(model)
            near = get_close_matches(target, names, n=5, cutoff=0.4) or names[:8]
            raise BadInput(f"targets: no layer is named {target!r}; nearest: {', '.join(near)}")
