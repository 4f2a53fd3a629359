"""Layers whose weights are kept elsewhere, and read outside their own forward: accelerate's are brought in.

DeepSpeed's ZeRO-3 brings them in itself, wherever a module reads them while its engine runs the forward pass.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from neatlab.errors import BadInput


def is_offloaded(module: nn.Module) -> bool:
    """Whether accelerate holds the module's weights and brings them for its forward alone."""
    return bool(getattr(module.__dict__.get("_hf_hook"), "offload", False))


@contextmanager
def onloaded(layer: nn.Module) -> Iterator[None]:
    """Bring in the weights of everything in the layer, and send them back afterwards."""
    parts: list[Any] = [part for part in layer.modules() if part is not layer and is_offloaded(part)]
    try:
        for part in parts:
            part._hf_hook.pre_forward(part)
        yield
    finally:
        for part in parts:
            part._hf_hook.post_forward(part, torch.empty(0))


def check_gathered(parameter: Tensor) -> None:
    """Read no parameter that ZeRO-3 has partitioned, and so left empty.

    Raises:
        BadInput: It is.
    """
    if parameter.numel() == 0 and hasattr(parameter, "ds_id"):
        raise BadInput(
            "DeepSpeed ZeRO-3 has partitioned W₀ and Θ, and NEAT computes ΔW from them; call the engine, or gather "
            "them around what you do: with deepspeed.zero.GatheredParameters(list(model.parameters())): …"
        )
