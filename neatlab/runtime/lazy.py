"""Libraries whose import takes a second, imported when they are first used.

A page or a command that only lists the tasks opens without them.
"""

from importlib import import_module
from typing import Any


def lazy(name: str) -> Any:
    """A stand-in for the module `name`, which is imported when one of its attributes is first asked for."""
    return _Lazy(name)


class _Lazy:
    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(import_module(self._name), attribute)
