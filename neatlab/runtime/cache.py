"""Base checkpoints: trained on first use, kept as safetensors under the hash of their recipe."""

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


def checkpoint(recipe: Mapping[str, Any], train: Callable[[], Weights]) -> Weights:
    """The weights that `recipe` describes; of several processes one trains and writes them.

    Args:
        recipe: Everything that the weights depend on: architecture, data, steps, seeds, a version.
        train: Makes them; called if they are not in the cache.

    Returns:
        Parameter name → tensor.

    Raises:
        StoreError: The cache folder cannot be written.
    """
    return broadcast_from_main(_checkpoint, recipe, train)


def _checkpoint(recipe: Mapping[str, Any], train: Callable[[], Weights]) -> Weights:
    digest = hashlib.sha256(orjson.dumps(recipe, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]
    path = cache_folder() / f"{recipe['task']}-{digest}.safetensors"
    if path.exists():
        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            warnings.warn(f"{path} is damaged and is made again: {error}", stacklevel=2)
    _check_writable(path.parent)
    weights = train()
    _write(path, weights)
    return weights


def _check_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cache folder {folder} cannot be made ({error.strerror}); set NEATLAB_CACHE") from error
    if not os.access(folder, os.W_OK):
        raise StoreError(f"cache folder {folder} cannot be written; set NEATLAB_CACHE to another")


def _write(path: Path, weights: Weights) -> None:
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        temporary = Path(folder) / path.name
        save_file(weights, temporary)
        temporary.replace(path)
