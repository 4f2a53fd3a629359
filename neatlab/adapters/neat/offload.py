"""Layers whose weights accelerate keeps elsewhere: brought in while they are read outside their own forward."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn


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
