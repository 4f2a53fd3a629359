"""An act at several values of one option: what the adapter still scores, and what is left of the base."""

import math
from typing import NamedTuple, Protocol

import pandas as pd
import plotly.graph_objects as go

from neatlab.plots.scaling import panels
from neatlab.plots.theme import QUIET

__all__ = ["EditCurveData", "edit_curve", "edit_curve_data"]


class Swept(Protocol):
    """Anything with the table of `neatlab.edit_curve`."""

    @property
    def option(self) -> str:
        """Act and option, as in "compress:rank"."""

    @property
    def metric(self) -> str:
        """Name of the task's metric."""

    @property
    def base_metric(self) -> str | None:
        """Name of the base's metric; None where the task has none."""

    @property
    def smallest(self) -> float | None:
        """The value of the smallest adapter that is as good."""

    def frame(self) -> pd.DataFrame:
        """One row a value."""


class EditCurveData(NamedTuple):
    """Scores over an option's values.

    Args:
        values: The values, ascending.
        curves: What stands on a vertical axis → its values; the base's is left out where there is none.
        low: How far the 95 % interval of the difference to the adapter before reaches below each score.
        high: How far it reaches above.
        smallest: The value of the smallest adapter that is as good; None where none is.
    """

    values: list[float]
    curves: dict[str, list[float]]
    low: list[float]
    high: list[float]
    smallest: float | None


def edit_curve_data(source: Swept) -> EditCurveData:
    """What an act's option does to the task and to the base's task.

    Args:
        source: What `neatlab.edit_curve` returns.
    """
    frame = source.frame()
    half = ((frame["high"] - frame["low"]) / 2).map(lambda width: 0.0 if math.isnan(width) else width).tolist()
    curves = {f"{source.metric}, validation split": frame["metric"].tolist()}
    if source.base_metric:
        curves[source.base_metric] = frame["base_metric"].tolist()
    return EditCurveData(frame["value"].tolist(), curves, half, half, source.smallest)


def edit_curve(source: Swept, dark: bool = False) -> go.Figure:
    """The task's metric over the option's values with the interval of its difference to the adapter before.

    A dashed line marks the smallest adapter that is as good; below stands what is left of the base's own task.

    Args:
        source: What `neatlab.edit_curve` returns.
        dark: For a dark page.

    Returns:
        The figure.
    """
    data = edit_curve_data(source)
    figure = panels(source.option, data.values, data.curves, data.smallest, dark)
    bars = {"type": "data", "array": data.high, "arrayminus": data.low, "color": QUIET, "thickness": 1.5}
    figure.data[0].update(error_y=bars, hovertemplate="%{x}<br>%{y:.4f}<extra></extra>")
    if data.smallest is not None:
        note = {"text": "smallest as good", "showarrow": False, "yanchor": "bottom"}
        figure.add_annotation(x=data.smallest, y=1, yref="paper", **note)
    return figure
