"""How far something is that takes long before its own events begin: said to whoever listens."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

OnProgress = Callable[[str, int, int], None]  # what is made, steps done, steps in all

_listener: ContextVar[OnProgress | None] = ContextVar("listener", default=None)


@contextmanager
def listening(listener: OnProgress) -> Iterator[None]:
    """Give what is reported in this block, and in this thread, to a listener."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def report(what: str, done: int, total: int) -> None:
    """Say how far it is.

    Args:
        what: What is made.
        done: Steps done.
        total: Steps in all.
    """
    if (listener := _listener.get()) is not None:
        listener(what, done, total)
