"""The metric over two options: depth and activation, or any other two."""

import math
from itertools import combinations
from typing import Any, NamedTuple

import pandas as pd
import plotly.graph_objects as go

from neatlab.analysis.statistics import Interval, mean_interval
from neatlab.errors import unknown
from neatlab.plots.intervals import metric_name, scored
from neatlab.plots.tables import Source
from neatlab.plots.theme import new_figure

__all__ = ["HeatmapData", "crossed", "heatmap", "heatmap_data"]

# In the order in which they make the more telling picture; rank last: matched budgets make it follow from the others.
AXES = (
    *("depth", "activation", "residual", "conditioning", "orientation", "init_weights"),
    *("method", "lr", "scaling", "rank"),
)
# Options that make another adapter of the same pair of values: only runs that agree in them share a picture.
HELD = ("method", "residual", "conditioning", "orientation", "init_weights")
MARGIN = {"l": 56, "r": 16, "t": 30, "b": 44}


class HeatmapData(NamedTuple):
    """One metric over two options.

    Args:
        name: The metric.
        rows: Values of the first option, from the top.
        columns: Values of the second.
        cells: Mean and interval, a list a row; None where no run has both values.
        held: Options that differ among the runs, and the value that the shown ones have.
    """

    name: str
    rows: list[str]
    columns: list[str]
    cells: list[list[Interval | None]]
    held: dict[str, str]


def crossed(source: Source) -> tuple[str, str] | None:
    """The two options that make the more telling heat map of these runs; None where no two were crossed.

    Args:
        source: `Results`, a `Comparison`, or their `frame()`.

    Returns:
        Rows and columns: of each option two values were tried with the same two values of the other.
    """
    frame = scored(source)
    present = [axis for axis in AXES if axis in frame.columns]
    return next(((a, b) for a, b in combinations(present, 2) if _crosses(frame, a, b)), None)


def heatmap_data(
    source: Source, rows: str = "depth", columns: str = "activation", name: str | None = None
) -> HeatmapData:
    """Mean of the metric over seeds for every pair of values of two options.

    Runs that differ in further options (method, residual, conditioning, orientation) are not mixed: those of the
    most frequent combination are shown. Where arms at several rates or ranks share a pair, each seed counts with
    their mean.

    Args:
        source: `Results`, a `Comparison`, or their `frame()`.
        rows: Option of the rows, a column of `frame()`.
        columns: Option of the columns.
        name: The metric's name; a `Comparison` knows its own.

    Raises:
        BadInput: The runs have no such option.
    """
    frame = scored(source)
    for axis in (rows, columns):
        if axis not in frame:
            raise unknown("option", axis, [known for known in AXES if known in frame])
    known, held = _held(frame.dropna(subset=[rows, columns]), [name for name in HELD if name not in (rows, columns)])
    by_seed = known.groupby([rows, columns, "seed"])["metric"].mean()
    cells: dict[Any, Interval] = {key: mean_interval(group) for key, group in by_seed.groupby(level=[0, 1])}
    tall, wide = _values(known[rows]), _values(known[columns])
    grid = [[cells.get((row, column)) for column in wide] for row in tall]
    return HeatmapData(metric_name(source, name), [_text(v) for v in tall], [_text(v) for v in wide], grid, held)


def heatmap(
    source: Source,
    rows: str = "depth",
    columns: str = "activation",
    name: str | None = None,
    higher_is_better: bool | None = None,
    dark: bool = False,
) -> go.Figure:
    """A cell a pair of values: the mean as its colour, mean ± half the 95 % interval as its text.

    Args:
        source: `Results`, a `Comparison`, or their `frame()`.
        rows: Option of the rows.
        columns: Option of the columns.
        name: The metric's name; a `Comparison` knows its own.
        higher_is_better: The metric's direction: better cells stand out more. A `Comparison` knows its own.
        dark: For a dark page.

    Returns:
        The figure, its height fitting the rows.
    """
    data = heatmap_data(source, rows, columns, name)
    higher = getattr(getattr(source, "metric", None), "higher_is_better", True)
    figure = new_figure([columns, rows], dark=dark)
    figure.add_trace(_cells(data, higher if higher_is_better is None else higher_is_better))
    figure.update_xaxes(type="category", showgrid=False, ticks="")
    figure.update_yaxes(type="category", showgrid=False, ticks="", autorange="reversed")
    note = {"x": 0, "xref": "paper", "xanchor": "left", "y": 1, "yref": "paper", "yanchor": "bottom", "yshift": 4}
    figure.add_annotation(text=f"{data.name} (stronger is better)", showarrow=False, **note)
    return figure.update_layout(height=100 + 56 * max(len(data.rows), 1), margin=MARGIN)


def _cells(data: HeatmapData, higher_is_better: bool) -> go.Heatmap:
    low, high = _ends(data, higher_is_better)
    return go.Heatmap(
        x=data.columns,
        y=data.rows,
        z=[[None if cell is None else cell.mean for cell in row] for row in data.cells],
        text=[[_cell_text(cell) for cell in row] for row in data.cells],
        texttemplate="%{text}",
        zmin=low,
        zmax=high,
        reversescale=not higher_is_better,
        xgap=2,
        ygap=2,
        hoverongaps=False,
        hovertemplate="%{y}, %{x}: %{text}<extra></extra>",
        showscale=False,  # the cells say their values
    )


def _ends(data: HeatmapData, higher_is_better: bool) -> tuple[float, float]:
    """Ends of the scale, of which the cells take the pale third: their text is readable on all of it."""
    means = [cell.mean for row in data.cells for cell in row if cell is not None and math.isfinite(cell.mean)]
    low, high = min(means, default=0.0), max(means, default=0.0)
    room = 2 * ((high - low) or 1.0)
    return (low, high + room) if higher_is_better else (low - room, high)


def _held(frame: pd.DataFrame, options: list[str]) -> tuple[pd.DataFrame, dict[str, str]]:
    """The runs of the most frequent combination of `options`, and the values of those that differ among all."""
    varied = [name for name in options if name in frame and frame[name].nunique(dropna=False) > 1]
    if not varied:
        return frame, {}
    texts = frame[varied].astype(str)
    common = texts.value_counts().idxmax()
    values = dict(zip(varied, common if isinstance(common, tuple) else (common,), strict=True))
    return frame[(texts == pd.Series(values)).all(axis=1)], values


def _cell_text(cell: Interval | None) -> str:
    if cell is None:
        return ""
    return f"{cell.mean:.3f}" + (f"<br>± {cell.half_width:.3f}" if cell.count > 1 else "")


def _values(column: pd.Series) -> list[Any]:
    """Numbers by size, words as they come."""
    values = list(dict.fromkeys(column))
    return sorted(values) if pd.api.types.is_numeric_dtype(column) else values


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _crosses(frame: pd.DataFrame, a: str, b: str) -> bool:
    """Whether two values of one option were each tried with the same two values of the other."""
    met = frame[[a, b]].dropna().groupby(a)[b].agg(set)
    return any(len(a & b) > 1 for a, b in combinations(met, 2))
