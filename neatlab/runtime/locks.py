"""What one process at a time may write: locks that go with the process that holds them, however that ends."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from neatlab.errors import BadInput

try:
    import fcntl
except ImportError:  # Windows, where nobody is kept out
    fcntl = None  # type: ignore[assignment]


@contextmanager
def exclusive(path: Path, what: str) -> Iterator[None]:
    """Hold the lock while the context lasts; the operating system releases it when the process ends, killed or not.

    Args:
        path: The lock's file, made where it is missing; it stays, with the number of the process that held it last.
        what: What may run once, as the error names it: "suite in runs".

    Raises:
        BadInput: Another process holds it, or its file cannot be opened.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)  # not inherited: a worker that outlives us has none
    except OSError as error:
        raise BadInput(f"{path} cannot be opened: {error.strerror or error}; give another folder") from error
    try:
        _lock(descriptor, what)
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        yield
    finally:
        os.close(descriptor)


@contextmanager
def in_turn(folder: Path) -> Iterator[None]:
    """Hold the folder's lock while the context lasts, which is short: who comes meanwhile waits.

    Args:
        folder: Nothing is written into it; what cannot be locked, such as one that has gone, keeps nobody out.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # on Windows always
        yield
        return
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, what: str) -> None:
    if fcntl is None:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = ""
        with suppress(OSError, ValueError):
            holder = f" (process {int(os.pread(descriptor, 20, 0))})"
        raise BadInput(f"another {what} is under way{holder}; wait for it, or give another folder") from None
    except OSError:  # a file system without locks
        return
