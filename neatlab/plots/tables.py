"""What every data function shares: where its table comes from, the order of the arms, and means over seeds."""

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import pandas as pd

from neatlab.plots.looks import Look, looks


class Tables(Protocol):
    """Anything with the tables of `neatlab.load_runs` and `neatlab.compare`."""

    def frame(self) -> pd.DataFrame:
        """One row a run."""

    def curves(self) -> pd.DataFrame:
        """One row a step or evaluation."""

    def spectra(self) -> pd.DataFrame:
        """One row a layer and measured step."""

    def answers(self) -> pd.DataFrame:
        """One row a step at which answers were kept."""


Source = Tables | pd.DataFrame
Array = np.ndarray[Any, Any]


class Line(NamedTuple):
    """One arm's values over x: mean over its seeds, lowest and highest seed; NaN where there is nothing to show.

    Args:
        arm: The arm as one writes it.
        look: How it is shown.
        x: Steps or indices.
        mean: Mean over seeds.
        low: Lowest seed.
        high: Highest seed.
        seeds: How many seeds.
    """

    arm: str
    look: Look
    x: tuple[float, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    seeds: int


def table(source: Source, name: str) -> pd.DataFrame:
    """`source` itself where it is a table, else its table `name`."""
    frame: pd.DataFrame = source if isinstance(source, pd.DataFrame) else getattr(source, name)()
    return frame


def arm_order(frame: pd.DataFrame, arms: Sequence[str] | None) -> list[str]:
    """The arms in the order of `arms`, else of first appearance."""
    return list(arms) if arms is not None else list(dict.fromkeys(frame["arm"]))


def arm_looks(frame: pd.DataFrame, arms: Sequence[str] | None, column: str = "arm") -> dict[str, Look]:
    """The look of every arm, in the order of `arms`, else of first appearance; the same for some of them as for all.

    Args:
        frame: With the arms in `column`, and their methods in `method` where their labels do not say them.
        arms: Order of the arms.
        column: Where the arms are.
    """
    methods = dict(zip(frame[column], frame["method"], strict=True)) if "method" in frame else {}
    shown = looks([*(arms or ()), *frame[column].unique()], methods)
    return shown if arms is None else {arm: shown[arm] for arm in arms}


def lines(frame: pd.DataFrame, x: str, y: str, arms: Sequence[str] | None, points: int = 400) -> list[Line]:
    """One line an arm, `y` over `x`, for arms that have any row.

    Args:
        frame: Tidy, with the columns arm, seed, `x`, `y`.
        x: Column of the horizontal axis.
        y: Column of the vertical axis.
        arms: Order of the arms.
        points: Longest line; a longer one is averaged over equal stretches of x.

    Returns:
        The lines in the order of the arms.
    """
    chosen = [(arm, look, frame[frame["arm"] == arm]) for arm, look in arm_looks(frame, arms).items()]
    return [_line(arm, look, rows, x, y, points) for arm, look, rows in chosen if len(rows)]


def _line(arm: str, look: Look, rows: pd.DataFrame, x: str, y: str, points: int) -> Line:
    at, values = _binned(*_by_seed(rows, x, y), points)
    mean, low, high = _mean(values), np.fmin.reduce(values, axis=1), np.fmax.reduce(values, axis=1)
    shown = [tuple(column.tolist()) for column in (at, mean, low, high)]
    return Line(arm, look, shown[0], shown[1], shown[2], shown[3], values.shape[1])


def short_layers(layers: Sequence[str]) -> list[str]:
    """The layers' names without the parts in which none differs: "0.q_proj" for "vit.layers.0.attention.q_proj"."""
    parts = [name.split(".") for name in layers]
    differ = [len(set(same)) > 1 for same in zip(*parts, strict=False)]
    if not any(differ):
        return list(layers)
    if len({len(part) for part in parts}) > 1:  # what stands at one place in all of them is then not the same thing
        differ = [any(differ[: place + 1]) for place in range(max(map(len, parts)))]
    return [".".join(itertools.compress(part, differ)) for part in parts]


def differ_hundredfold(lines: Sequence[Line]) -> bool:
    """Whether the largest value of one line is a hundred times that of another, so that one scale hides one of them."""
    largest = [max((value for value in line.mean if value > 0), default=0.0) for line in lines]
    sizes = [size for size in largest if size > 0]
    return len(sizes) > 1 and max(sizes) >= 100 * min(sizes)


# In numpy, not by pandas' pivot tables: a live chart is computed several times a second, and they take 7 ms a line.
def _by_seed(rows: pd.DataFrame, x: str, y: str) -> tuple[Array, Array]:
    """Every x, and the values there (x × seed): the mean of several at one position, NaN where there is none."""
    at, row = np.unique(rows[x].to_numpy(dtype=float), return_inverse=True)
    seeds, column = np.unique(rows["seed"].to_numpy(), return_inverse=True)
    values, shape = rows[y].to_numpy(dtype=float), (len(at), len(seeds))
    known = np.isfinite(values)
    total, count = np.zeros(shape), np.zeros(shape)
    np.add.at(total, (row[known], column[known]), values[known])
    np.add.at(count, (row[known], column[known]), 1)
    return at, _ratio(total, count)


def _binned(at: Array, values: Array, points: int) -> tuple[Array, Array]:
    """At most `points` rows: means of equal stretches, each standing at its last x."""
    size = -(-len(at) // points)
    if size <= 1:
        return at, values
    starts = np.arange(0, len(at), size)
    known = np.isfinite(values)
    total, count = (np.add.reduceat(part, starts) for part in (np.where(known, values, 0.0), known.astype(float)))
    return at[np.minimum(starts + size, len(at)) - 1], _ratio(total, count)


def _mean(values: Array) -> Array:
    """Mean of each row over what is known; NaN where nothing is."""
    return _ratio(np.nansum(values, axis=1), np.isfinite(values).sum(axis=1))


def _ratio(total: Array, count: Array) -> Array:
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
