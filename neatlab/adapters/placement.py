"""Where an arm's adapters go: on which of the model's blocks, and on which of their linear layers."""

from collections.abc import Iterable
from typing import Any

from torch import nn
from transformers.pytorch_utils import Conv1D

from neatlab.adapters.methods.base import EVERY_BLOCK, LINEAR, TASKS_OWN, PlacedOptions
from neatlab.errors import BadInput, unknown
from neatlab.schema import Schema


def place(model: nn.Module, options: Schema, targets: list[str], head: Iterable[str]) -> list[str]:
    """The layers that an arm's `layers` and `modules` ask for.

    Args:
        model: The base model.
        options: Of the arm.
        targets: The task's own target modules.
        head: Modules that train whole, on which no adapter goes.

    Returns:
        Target modules as PEFT takes them: the task's own where the arm asks for nothing else, else whole names.

    Raises:
        BadInput: A module or a block that the model does not have.
    """
    if not isinstance(options, PlacedOptions) or (options.layers, options.modules) == (EVERY_BLOCK, TASKS_OWN):
        return targets
    linear = _linear(model, set(head))
    names = linear if options.modules == LINEAR else _named(linear, options, targets)
    return names if options.layers == EVERY_BLOCK else _in_blocks(names, options)


def _linear(model: nn.Module, head: set[str]) -> list[str]:
    """The linear layers within the model, as PEFT's "all-linear": neither the head nor the vocabulary's output."""
    get_output: Any = getattr(model, "get_output_embeddings", lambda: None)
    output = get_output()
    modules = ((name, module) for name, module in model.named_modules() if isinstance(module, nn.Linear | Conv1D))
    return [name for name, module in modules if module is not output and not head & {*name.split(".")}]


def _named(linear: list[str], options: PlacedOptions, targets: list[str]) -> list[str]:
    modules = targets if options.modules == TASKS_OWN else options.modules.split("+")
    for module in modules:
        if not any(_is_named(name, module) for name in linear):
            last = dict.fromkeys(name.rpartition(".")[2] for name in linear)
            raise unknown("module", module, [TASKS_OWN, LINEAR, *last])
    return [name for name in linear if any(_is_named(name, module) for module in modules)]


def _is_named(name: str, module: str) -> bool:
    return f".{name}".endswith(f".{module}")


def _in_blocks(names: list[str], options: PlacedOptions) -> list[str]:
    blocks = {name: _block(name) for name in names}
    numbers = sorted({block for block in blocks.values() if block is not None})
    if not numbers:
        raise BadInput(f"layers={options.layers}: the model's layers {', '.join(names[:3])} … have no numbers")
    first, last = options.range_of(numbers[-1] + 1)
    chosen = [name for name, block in blocks.items() if block is not None and first <= block <= last]
    if not chosen or last > numbers[-1]:
        raise BadInput(f"layers={options.layers}; the model has the layers {numbers[0]} to {numbers[-1]}")
    return chosen


def _block(name: str) -> int | None:
    """The number in a layer's name, as PEFT's `layers_to_transform` counts them."""
    return next((int(part) for part in name.split(".") if part.isdigit()), None)
