"""HTML from Jinja templates: each lies beside the module that fills it, and escapes whatever it is given."""

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

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
    path = Path(module).with_suffix(".html").relative_to(PACKAGE)
    return environment().get_template(path.as_posix()).module
