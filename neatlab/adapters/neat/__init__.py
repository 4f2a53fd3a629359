"""NEAT as a PEFT method. Its names are loaded when first used: what it costs can be counted without torch."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neatlab.adapters.neat.layer import NeatConfig, NeatLinear, NeatModel

__all__ = ["NeatConfig", "NeatLinear", "NeatModel"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'neatlab.adapters.neat' has no attribute {name!r}")
    return getattr(import_module("neatlab.adapters.neat.layer"), name)
