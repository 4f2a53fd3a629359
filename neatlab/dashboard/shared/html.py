"""Pieces of HTML that several tabs use."""

from collections.abc import Iterable

from neatlab.dashboard.shared.field_error import FieldError
from neatlab.runtime.templates import macros

_HTML = macros(__file__)
MAX_MESSAGE = 600  # characters of a message


def plural(count: int, noun: str) -> str:
    """A count with its noun: "1 run", "2,000 runs"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def status(text: str, detail: str = "", done: int = 0, total: int = 0) -> str:
    """The status line.

    Args:
        text: What the page does; read out by screen readers when it changes.
        detail: What changes several times a second, and so is not read out.
        done: Steps done.
        total: Steps in all.
    """
    return _HTML.status(text, detail, done, total)


def hint(text: str) -> str:
    """A remark in small print."""
    return _HTML.hint(text)


def doing(text: str) -> str:
    """What goes on, said to those who do not see it too."""
    return _HTML.doing(text)


def mistake(text: str) -> str:
    """A message next to the fields that it is about."""
    return _HTML.mistake(text[:MAX_MESSAGE])


def field_messages(error: FieldError | None, fields: Iterable[str]) -> list[str]:
    """A message for each field; empty except for the one that the error is about."""
    return [mistake(str(error)) if error and error.field == field else "" for field in fields]
