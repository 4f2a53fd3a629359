"""Paths as callers give them, and the files that are never opened: pickles, which can run any code when loaded, and
what is no file at all.
"""

import os
import stat
from pathlib import Path, PurePath
from typing import BinaryIO

PathLike = str | os.PathLike[str]

PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".h5", ".msgpack")


def is_pickle(name: PathLike) -> bool:
    """Whether a file of this name holds weights in a form that can run code: refused, never opened."""
    return PurePath(name).suffix.lower() in PICKLE_SUFFIXES


def open_regular(path: Path, max_bytes: int) -> BinaryIO:
    """A file, opened to be read; not a pipe or a device, whose reader would wait without end.

    Raises:
        OSError: It is something else, larger than `max_bytes`, or cannot be opened.
    """
    about = path.stat()
    if not stat.S_ISREG(about.st_mode):
        raise OSError("it is no regular file")
    if about.st_size > max_bytes:
        raise OSError(f"it has {about.st_size:,} bytes; allowed: {max_bytes:,}")
    return open(path, "rb")
