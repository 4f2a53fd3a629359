"""Small figures for teaching: activations, and parameters over the rank."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go

from neatlab.adapters.activations import ACTIVATIONS
from neatlab.errors import unknown
from neatlab.plots.looks import look
from neatlab.plots.theme import new_figure

__all__ = ["FunctionData", "SizeData", "function_curve", "function_data", "size_curves", "size_data"]

SPAN = 4.0


class FunctionData(NamedTuple):
    """An activation's values.

    Args:
        name: The activation.
        x: Where.
        y: σ(x).
    """

    name: str
    x: list[float]
    y: list[float]


def function_data(name: str, points: int = 81) -> FunctionData:
    """σ on an interval around zero.

    Args:
        name: A key of ACTIVATIONS.
        points: How many.

    Raises:
        BadInput: Another name.
    """
    if name not in ACTIVATIONS:
        raise unknown("activation", name, ACTIVATIONS)
    x = np.linspace(-SPAN, SPAN, points)
    return FunctionData(name, x.tolist(), ACTIVATIONS[name].values(x).tolist())


def function_curve(name: str, dark: bool = False) -> go.Figure:
    """An activation as a curve, in the colour of NEAT, which applies it.

    Args:
        name: A key of ACTIVATIONS.
        dark: For a dark page.
    """
    data = function_data(name)
    figure, line = new_figure(["x", f"{name}(x)"], dark=dark), {"color": look("neat").colour}
    return figure.add_trace(go.Scatter(x=data.x, y=data.y, mode="lines", name=name, line=line)).update_layout(
        showlegend=False
    )


class SizeData(NamedTuple):
    """Parameters over the rank.

    Args:
        ranks: The ranks.
        counts: Method → parameters at each rank.
    """

    ranks: list[int]
    counts: dict[str, list[int]]


def size_data(counts: Mapping[str, Callable[[int], int]], highest: int, points: int = 64) -> SizeData:
    """Parameters of each method at up to `points` ranks from 1 to `highest`.

    Args:
        counts: Method → its parameters at a rank.
        highest: The last rank.
        points: How many ranks at most.
    """
    ranks = sorted({round(rank) for rank in np.linspace(1, highest, min(points, highest))})
    return SizeData(ranks, {name: [count(rank) for rank in ranks] for name, count in counts.items()})


def size_curves(data: SizeData, marked: Sequence[tuple[str, int]] = (), dark: bool = False) -> go.Figure:
    """A line a method: parameters over the rank.

    Args:
        data: From `size_data`.
        marked: Method and rank of points to mark.
        dark: For a dark page.
    """
    figure = new_figure(["rank r", "parameters"], dark=dark)
    for name, counts in data.counts.items():
        shown = look(name)
        ranks = [rank for method, rank in marked if method == name]
        at = np.interp(ranks, data.ranks, counts).tolist()
        line = go.Scatter(x=data.ranks, y=counts, mode="lines", name=name, line={"color": shown.colour})
        dots = go.Scatter(x=ranks, y=at, mode="markers", name=f"{name} here", showlegend=False)
        figure.add_traces([line, dots.update(marker={"color": shown.colour, "symbol": shown.marker, "size": 10})])
    return figure.update_yaxes(rangemode="tozero")
