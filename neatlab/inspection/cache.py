"""W₀'s leading singular vectors, stored in the cache folder under the hash of the file that W₀ lies in."""

import hashlib
import warnings
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from neatlab.analysis.partial_svd import TOLERANCE, PartialSvd
from neatlab.errors import StoreError
from neatlab.runtime.cache import cached_tensors

VERSION = 2


def cached_svd(key: tuple[Path, str] | None, count: int, compute: Callable[[], PartialSvd]) -> PartialSvd:
    """Leading triplets of a weight, from the cache where they are in it.

    Args:
        key: The weight's file and its name there; None for a weight that lies in memory only.
        count: How many.
        compute: Finds them.

    Returns:
        The triplets. A cache folder that cannot be written costs a warning and the next call's time.
    """
    if key is None:
        return compute()
    try:
        return _triplets(cached_tensors(_recipe(*key, count), lambda: _tensors(compute())))
    except (StoreError, OSError) as error:
        warnings.warn(f"W₀'s leading directions are not kept: {error}", stacklevel=2)
        return compute()


def _recipe(file: Path, name: str, count: int) -> dict[str, Any]:
    return {
        "task": "leading-svd",
        "file": _digest(file, file.stat().st_size, file.stat().st_mtime_ns),
        "tensor": name,
        "count": count,
        "tolerance": TOLERANCE,
        "version": VERSION,
    }


@lru_cache(maxsize=4096)
def _digest(file: Path, size: int, changed: int) -> str:
    """SHA-256 of a file; its size and time only tell whether this process has read it before."""
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _tensors(svd: PartialSvd) -> dict[str, Tensor]:
    numbers = torch.tensor([svd.residual, svd.next_value, float(svd.exact)], dtype=torch.float64)
    matrices = {"left": svd.left, "values": svd.values, "right": svd.right}
    return {**{name: tensor.contiguous().clone() for name, tensor in matrices.items()}, "numbers": numbers}


def _triplets(tensors: dict[str, Tensor]) -> PartialSvd:
    residual, following, exact = tensors["numbers"].tolist()
    return PartialSvd(tensors["left"], tensors["values"], tensors["right"], residual, following, bool(exact))
