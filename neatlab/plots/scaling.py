"""The causal slider: the task's metric and the base's as a part of ΔW is scaled down."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import pandas as pd
import plotly.graph_objects as go

from neatlab.plots.theme import QUIET, new_figure
from neatlab.plots.traces import CURSOR

__all__ = ["ScalingData", "scaling", "scaling_data"]


class Scaling(Protocol):
    """Anything with the table of `Slider.scale`."""

    def frame(self) -> pd.DataFrame:
        """One row a factor."""


class ScalingData(NamedTuple):
    """Metrics over the factor.

    Args:
        factors: What the part was multiplied by, ascending; 1 is the model as it was trained.
        curves: Name of the metric → its values; the base's is left out where there is none.
    """

    factors: list[float]
    curves: dict[str, list[float]]


def scaling_data(source: Scaling | pd.DataFrame, metric: str, base_metric: str | None = None) -> ScalingData:
    """What a factor on a part of ΔW does to the task and to the base's task.

    Args:
        source: A `ScalingResult`, or its `frame()`.
        metric: Name of the task's metric.
        base_metric: Name of the base's metric; None where the task has none.
    """
    frame = source if isinstance(source, pd.DataFrame) else source.frame()
    rows = frame.sort_values("factor")
    curves = {metric: rows["metric"].tolist()}
    if base_metric is not None:
        curves[f"base: {base_metric}"] = rows["base_metric"].tolist()
    return ScalingData(rows["factor"].tolist(), curves)


def scaling(
    source: Scaling | pd.DataFrame,
    metric: str,
    base_metric: str | None = None,
    at: float | None = None,
    dark: bool = False,
) -> go.Figure:
    """The task's metric over the factor, below it the base's.

    Args:
        source: A `ScalingResult`, or its `frame()`.
        metric: Name of the task's metric.
        base_metric: Name of the base's metric; None where the task has none.
        at: Factor to mark.
        dark: For a dark page.

    Returns:
        The figure.
    """
    data = scaling_data(source, metric, base_metric)
    return panels("factor on the part of ΔW", data.factors, data.curves, at, dark)


def panels(
    x_name: str, factors: Sequence[float], curves: Mapping[str, Sequence[float]], at: float | None, dark: bool
) -> go.Figure:
    """Curves over a factor, a panel each under the other.

    Args:
        x_name: Name of the horizontal axis.
        factors: What stands on it.
        curves: Name of each vertical axis → its values.
        at: Factor to mark.
        dark: For a dark page.
    """
    figure = new_figure([x_name, *curves], [1 / len(curves)] * len(curves), dark=dark)
    for row, (name, values) in enumerate(curves.items()):
        trace = go.Scatter(
            x=factors,
            y=values,
            yaxis="y" if row == 0 else f"y{row + 1}",
            name=name,
            mode="lines+markers",
            line={"color": QUIET, "width": 2},
            marker={"size": 8, "color": QUIET},
            hovertemplate=f"factor %{{x}}<br>%{{y:.4f}}<extra>{name}</extra>",
        )
        figure.add_trace(trace)
    if at is not None:
        line = {"color": CURSOR, "width": 1.5, "dash": "dash"}
        figure.add_shape(type="line", x0=at, x1=at, y0=0, y1=1, yref="paper", line=line)
    return figure.update_layout(showlegend=False)
