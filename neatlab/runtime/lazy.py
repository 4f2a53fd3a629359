"""Libraries that are imported when they are first used, and what to install where one of them is missing.

A page or a command that only lists the tasks opens without those whose import takes a second; `NeatConfig`, `inspect`
and `export` work without those of the extras.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from neatlab.errors import MissingExtra

# Extra of pyproject.toml → import name → package.
EXTRAS = {
    "lab": {
        "pandas": "pandas",
        "sklearn": "scikit-learn",
        "dask": "dask",
        "distributed": "dask",
        "optuna": "optuna",
        "plotly": "plotly",
        "PIL": "pillow",
    },
    "app": {"gradio": "gradio", "gradio_client": "gradio"},
    "notebooks": {"IPython": "jupyterlab"},
    "gguf": {"gguf": "gguf"},
}


def lazy(name: str) -> Any:
    """A stand-in for the module `name`, which is imported when one of its attributes is first asked for."""
    return _Lazy(name)


class _Lazy:
    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(load(self._name), attribute)


def load(name: str, caller: str = "this") -> Any:
    """Import the module `name` now.

    Args:
        name: The module.
        caller: What needs it, as the error names it.

    Raises:
        MissingExtra: It needs a package of an extra that is not installed.
    """
    with naming_extras(caller):
        return import_module(name)


@contextmanager
def naming_extras(caller: str) -> Iterator[None]:
    """What is imported inside, and not installed, is named with its extra.

    Args:
        caller: What needs it, as the error names it: "compare".

    Raises:
        MissingExtra: In the place of a `ModuleNotFoundError` for a package of `EXTRAS`.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        extra = next((extra for extra, packages in EXTRAS.items() if package in packages), None)
        if extra is None:
            raise
        text = f"{caller} needs {EXTRAS[extra][package]}: pip install 'neatlab[{extra}]'"
        raise MissingExtra(text, name=package) from error
