"""Large matrices as few cells, each the mean of a block: what a picture of them can show."""

import numpy as np
from numpy.typing import NDArray

CELLS = 96  # along a side of a picture


def starts(size: int, cells: int = CELLS) -> NDArray[np.intp]:
    """Where each block along a side begins: at most `cells` of them, their sizes equal to within one."""
    count = min(size, cells)
    return np.arange(count) * size // count


def pooled(matrix: NDArray, rows: int = CELLS, columns: int = CELLS) -> NDArray[np.float64]:
    """Means over blocks of a matrix, which is returned as it is where it is small enough.

    The pooled product is the product of the factors pooled on its outer sides: the mean of (BA)ᵢⱼ over a block is the
    mean of B's rows times the mean of A's columns. So ΔW is pooled without being built.

    Args:
        matrix: m × n.
        rows: Cells along its first side, at most.
        columns: Along its second.

    Returns:
        min(m, rows) × min(n, columns).
    """
    means = np.asarray(matrix, dtype=np.float64)
    for axis, cells in enumerate((rows, columns)):
        size = means.shape[axis]
        if size > cells:
            edges = starts(size, cells)
            counts = np.diff(edges, append=size)
            means = np.add.reduceat(means, edges, axis) / np.expand_dims(counts, 1 - axis)
    return means
