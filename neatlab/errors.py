"""The package's errors: one family, each message says what was wrong, what is allowed, and what to try."""

from collections.abc import Iterable
from difflib import get_close_matches

SHOWN = 80  # characters of a value that a message quotes


class NeatlabError(Exception):
    """Base of every error that neatlab raises on purpose."""


class BadInput(NeatlabError, ValueError):
    """A value from a user, file, URL or form that cannot be used; raised before any work starts."""


class NotFinite(BadInput):
    """Weights that hold NaN or infinite values; `where` names the tensor or the layer."""

    def __init__(self, message: str, where: str) -> None:
        super().__init__(message)
        self.where = where


class StoreError(NeatlabError):
    """A runs folder or run directory that cannot be read or written."""


class MissingExtra(NeatlabError, ModuleNotFoundError):
    """A package that is not installed, with the command that installs its extra; `name` is the package's."""


def unknown(kind: str, value: object, allowed: Iterable[object]) -> BadInput:
    """The error for a name that is not in a table, with the closest name as the hint.

    Args:
        kind: What the name stands for, such as "task".
        value: The name that was given.
        allowed: The names that exist.

    Returns:
        A `BadInput` for the caller to raise.
    """
    names = sorted(str(name) for name in allowed)
    close = get_close_matches(str(value)[:SHOWN], names, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return BadInput(f"unknown {kind} {shown(value)}; allowed: {', '.join(names)}{hint}")


def shown(value: object) -> str:
    """A value as a message quotes it, cut where it is long."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
