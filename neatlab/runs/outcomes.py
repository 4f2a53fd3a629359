"""A run's outcomes on the test split as one small file."""

from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from neatlab.errors import StoreError
from neatlab.runtime.files import open_regular
from neatlab.tasks.outcomes import Outcomes

FILE = "outcomes.safetensors"
COLUMNS = {"true", "predicted"}
MAX_BYTES = 2**30  # of the file; eight an example


def write_outcomes(folder: Path, outcomes: Outcomes) -> None:
    """Write to a temporary file, then rename: a reader never sees half of it."""
    temporary = folder / f"{FILE}.part"
    temporary.write_bytes(save({"true": outcomes.true, "predicted": outcomes.predicted}))
    temporary.replace(folder / FILE)


def read_outcomes(folder: Path) -> Outcomes | None:
    """What `write_outcomes` wrote; None where there is no file, as of older runs and of tasks without outcomes.

    Raises:
        StoreError: The file is damaged.
    """
    path = Path(folder, FILE)
    try:
        return _read(path) if path.exists() else None
    except (OSError, SafetensorError, ValueError) as error:
        raise StoreError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error


def _read(path: Path) -> Outcomes:
    open_regular(path, MAX_BYTES).close()
    with safe_open(path, "np") as file:
        _check_header(file)
        outcomes = Outcomes(file.get_tensor("true"), file.get_tensor("predicted"))
    if not (np.isfinite(outcomes.true).all() and np.isfinite(outcomes.predicted).all()):
        raise ValueError("it holds values that are NaN or infinite, which no finished run leaves")
    return outcomes


def _check_header(file: Any) -> None:
    slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
    kinds = {(entry.get_dtype(), *entry.get_shape()) for entry in slices.values()}
    dtype, *shape = next(iter(kinds), ("",))
    if slices.keys() != COLUMNS or len(kinds) != 1 or dtype != "F32" or len(shape) != 1 or shape == [0]:
        raise ValueError("it should hold `true` and `predicted`, float32, one entry each an example")
