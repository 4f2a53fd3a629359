"""What every data function shares: where its table comes from, the order of the arms, and means over seeds."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import pandas as pd


class Tables(Protocol):
    """Anything with the tables of `neatlab.load_runs` and `neatlab.compare`."""

    def frame(self) -> pd.DataFrame:
        """One row a run."""

    def curves(self) -> pd.DataFrame:
        """One row a step or evaluation."""

    def spectra(self) -> pd.DataFrame:
        """One row a layer and measured step."""


Source = Tables | pd.DataFrame


class Line(NamedTuple):
    """One arm's values over x: mean over its seeds, lowest and highest seed; NaN where there is nothing to show.

    Args:
        arm: The arm as one writes it.
        place: Where it stands among the arms; decides its colour and marker.
        x: Steps or indices.
        mean: Mean over seeds.
        low: Lowest seed.
        high: Highest seed.
        seeds: How many seeds.
    """

    arm: str
    place: int
    x: tuple[float, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    seeds: int


def table(source: Source, name: str) -> pd.DataFrame:
    """`source` itself where it is a table, else its table `name`."""
    found: pd.DataFrame = source if isinstance(source, pd.DataFrame) else getattr(source, name)()
    return found


def arm_order(frame: pd.DataFrame, arms: Sequence[str] | None) -> list[str]:
    """The arms in the order of `arms`, else of first appearance: the same order gives the same colours."""
    return list(arms) if arms is not None else list(dict.fromkeys(frame["arm"]))


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
    order = arm_order(frame, arms)
    chosen = [(index, arm, frame[frame["arm"] == arm]) for index, arm in enumerate(order)]
    return [_line(arm, index, rows, x, y, points) for index, arm, rows in chosen if len(rows)]


def _line(arm: str, index: int, rows: pd.DataFrame, x: str, y: str, points: int) -> Line:
    by_seed = rows.pivot_table(index=x, columns="seed", values=y, aggfunc="mean", dropna=False)
    binned = _binned(by_seed.astype(float), points)
    shown = (binned.index, binned.mean(axis=1), binned.min(axis=1), binned.max(axis=1))
    at, mean, low, high = (tuple(float(v) for v in column) for column in shown)
    return Line(arm, index, at, mean, low, high, by_seed.shape[1])


def _binned(values: pd.DataFrame, points: int) -> pd.DataFrame:
    size = -(-len(values) // points)
    if size <= 1:
        return values
    group = np.arange(len(values)) // size
    ends = pd.Series(values.index).groupby(group).last()
    return values.groupby(group).mean().set_index(pd.Index(ends))
