"""Paths as callers give them, and the files that are never opened: pickles, which can run any code when loaded."""

import os
from pathlib import PurePath

PathLike = str | os.PathLike[str]

PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".h5", ".msgpack")


def is_pickle(name: PathLike) -> bool:
    """Whether a file of this name holds weights in a form that can run code: refused, never opened."""
    return PurePath(name).suffix.lower() in PICKLE_SUFFIXES
