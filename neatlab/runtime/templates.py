"""Jinja templates of HTML and Python: each lies beside the module that fills it, and escapes whatever it is given."""

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template, Undefined

PACKAGE = Path(__file__).parents[1]


@cache
def environment() -> Environment:
    """The one environment; a template's name is its path in the package, as in "report/text.html"."""
    return Environment(
        loader=FileSystemLoader(PACKAGE),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,  # a value that is missing is an error, not an empty text
    )


def macros(module: str) -> Any:
    """The macros of the template that belongs to a module: words.html for words.py.

    Args:
        module: The module's `__file__`.

    Returns:
        An object with a function for each macro; they return `markupsafe.Markup`, a str that is not escaped again.
    """
    return environment().get_template(_name(module, ".html")).module


class Code(str):
    """Python that a template puts in as it stands."""

    __slots__ = ()


def python(module: str) -> Template:
    """The Python that belongs to a module: snippet.jinja for snippet.py; values come in as literals, or are `Code`.

    Args:
        module: The module's `__file__`.
    """
    # Without HTML's escapes: finalize is what stands between a value and the code around it.
    return environment().overlay(autoescape=False, finalize=_literal).get_template(_name(module, ".jinja"))


def _literal(value: Any) -> str:
    return str(value) if isinstance(value, Code | Undefined) else repr(value)  # str() of what is missing raises


def _name(module: str, suffix: str) -> str:
    return Path(module).with_suffix(suffix).relative_to(PACKAGE).as_posix()
