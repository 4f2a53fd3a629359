"""Tensors that take long to make, such as base checkpoints: made on first use, stored under their recipe's hash."""

import hashlib
import os
import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson
import platformdirs
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from neatlab.errors import StoreError
from neatlab.runtime.distributed import broadcast_from_main

Weights = dict[str, Tensor]


def cache_folder() -> Path:
    """The user's cache folder for neatlab; the environment variable NEATLAB_CACHE names another."""
    return Path(os.environ.get("NEATLAB_CACHE") or platformdirs.user_cache_dir("neatlab"))


def cached_tensors(recipe: Mapping[str, Any], compute: Callable[[], Weights]) -> Weights:
    """The tensors that `recipe` describes; of several processes one computes and writes them.

    Args:
        recipe: Everything that the tensors depend on: architecture, data, steps, seeds, a version; its "task" names
            the file.
        compute: Makes them; called if they are not in the cache.

    Returns:
        Name → tensor.

    Raises:
        StoreError: The cache folder cannot be written.
    """
    return broadcast_from_main(_cached_tensors, recipe, compute)


def _cached_tensors(recipe: Mapping[str, Any], compute: Callable[[], Weights]) -> Weights:
    digest = hashlib.sha256(orjson.dumps(recipe, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]
    path = cache_folder() / f"{recipe['task']}-{digest}.safetensors"
    if path.exists():
        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            warnings.warn(f"{path} is damaged and is made again: {error}", stacklevel=2)
    check_writable(path.parent)
    tensors = compute()
    _write(path, tensors)
    return tensors


def check_writable(folder: Path) -> None:
    """Make a folder of the cache where there is none.

    Raises:
        StoreError: It cannot be made, or nothing can be written in it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cache folder {folder} cannot be made ({error.strerror}); set NEATLAB_CACHE") from error
    if not os.access(folder, os.W_OK):
        raise StoreError(f"cache folder {folder} cannot be written; set NEATLAB_CACHE to another")


def _write(path: Path, tensors: Weights) -> None:
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        temporary = Path(folder) / path.name
        save_file(tensors, temporary)
        temporary.replace(path)
