"""What an act is, and what several of them share."""

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from neatlab.editing.state import Editable
from neatlab.errors import BadInput, shown, unknown
from neatlab.schema import Schema


@dataclass(frozen=True)
class ActRow:
    """One row of ACTS.

    Args:
        does: What it does, for people.
        options: Schema of its options.
        apply: (adapter, options) → the adapter with the act done when its layers are read.
        example: An act that runs on any LoRA of rank 2 and more.
        needs_task: Whether it looks at a task's training examples.
    """

    does: str
    options: type[Schema]
    apply: Callable[[Editable, Any], Editable]
    example: str
    needs_task: bool = False


@dataclass(frozen=True)
class Act:
    """An act with its options.

    Args:
        text: As it was written.
        row: Its row of ACTS.
        options: Its options, validated.
    """

    text: str
    row: ActRow
    options: Schema

    def __call__(self, adapter: Editable) -> Editable:
        """The adapter with the act done."""
        return self.row.apply(adapter, self.options)


def items(text: str) -> list[str]:
    """Parts of an option that are joined by "+"."""
    return [part.strip() for part in text.split("+") if part.strip()]


def match_layers(pattern: str, names: list[str], what: str) -> list[str]:
    """The layers that a pattern names, in their order.

    Args:
        pattern: Whole names, last parts of names as in target_modules, or names with * and ?; several joined by "+".
        names: The layers.
        what: Whose pattern it is, for the message.

    Raises:
        BadInput: A part of the pattern that names none.
    """
    chosen: set[str] = set()
    for part in items(pattern):
        matched = {name for name in names if fnmatchcase(name, part) or f".{name}".endswith(f".{part}")}
        if not matched:
            raise unknown(f"layer of {what}", part, {name.rpartition(".")[2] for name in names})
        chosen |= matched
    if not chosen:
        raise BadInput(f"{what} {shown(pattern)} names no layer; such as q_proj+v_proj, or *.layers.0.*")
    return [name for name in names if name in chosen]
