"""Mean and 95 % interval of every arm, under each other."""

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd
import plotly.graph_objects as go

from neatlab.analysis.statistics import Interval, mean_interval
from neatlab.plots.looks import Look
from neatlab.plots.tables import Source, arm_looks, table
from neatlab.plots.theme import QUIET, new_figure

__all__ = ["IntervalData", "interval_data", "intervals"]

ROW = 58  # pixels an arm: its name stands above its interval and its figures below, so that long names need no margin


class ArmScore(NamedTuple):
    """What one arm reached.

    Args:
        arm: The arm as one writes it.
        look: How it is shown.
        score: Mean over its seeds with its interval.
    """

    arm: str
    look: Look
    score: Interval


class IntervalData(NamedTuple):
    """Scores of the arms that have any.

    Args:
        name: The metric.
        arms: One entry an arm, in the order of the arms.
    """

    name: str
    arms: list[ArmScore]


def interval_data(source: Source, name: str | None = None, arms: Sequence[str] | None = None) -> IntervalData:
    """Mean and 95 % t-interval over seeds of every arm's metric on the test split.

    Args:
        source: `Results`, a `Comparison`, or their `frame()`.
        name: The metric's name; a `Comparison` knows its own.
        arms: Order of the arms; those left out are not shown.
    """
    frame = scored(source)
    scores = [(arm, look, frame.loc[frame["arm"] == arm, "metric"]) for arm, look in arm_looks(frame, arms).items()]
    shown = [ArmScore(arm, look, mean_interval(values)) for arm, look, values in scores if len(values)]
    return IntervalData(metric_name(source, name), shown)


def intervals(
    source: Source,
    name: str | None = None,
    arms: Sequence[str] | None = None,
    reference: str | None = None,
    dark: bool = False,
    margin: float | None = None,
) -> go.Figure:
    """A row an arm: its mean with its 95 % interval over seeds, as a marker and in figures.

    Args:
        source: `Results`, a `Comparison`, or their `frame()`.
        name: The metric's name; a `Comparison` knows its own.
        arms: Order of the arms.
        reference: The arm whose mean a dotted line marks, with the margin as a band about it.
        dark: For a dark page.
        margin: The largest difference that does not matter; a `Comparison` knows its own.

    Returns:
        The figure, its height fitting the number of arms.
    """
    data = interval_data(source, name, arms)
    figure = new_figure([data.name, ""], dark=dark)
    for row, entry in enumerate(data.arms):
        figure.add_trace(_marker(row, entry))
        _note(figure, row, entry.look.name, x=0, xanchor="left", yshift=16)
        mean = entry.score.mean
        _note(figure, row, in_figures(entry.score), x=mean, xref="x", xanchor=_inwards(mean, data.arms), yshift=-16)
        if entry.arm == reference:
            _mark_reference(figure, mean, getattr(source, "margin", 0.0) if margin is None else margin)
    figure.update_yaxes(range=[len(data.arms) - 0.5, -0.75], showticklabels=False, showgrid=False, zeroline=False)
    figure.update_yaxes(ticks="", title=None)
    return figure.update_layout(showlegend=False, height=80 + ROW * max(len(data.arms), 1), margin={"l": 12, "t": 8})


def _inwards(mean: float, arms: Sequence[ArmScore]) -> str:
    """On which side of its text a mark lies, so that the text stays within the figure."""
    means = [entry.score.mean for entry in arms]
    third = (max(means) - min(means)) / 3
    return "left" if mean < min(means) + third else "right" if mean > max(means) - third else "center"


def _mark_reference(figure: go.Figure, mean: float, margin: float) -> None:
    if margin:
        band = {"fillcolor": QUIET, "opacity": 0.15, "line_width": 0, "layer": "below"}
        figure.add_vrect(mean - margin, mean + margin, name="margin", **band)
    figure.add_vline(mean, line={"dash": "dot", "width": 1, "color": QUIET})


def several_seeds(arms: Sequence[ArmScore], least: int = 2) -> bool:
    """Whether every arm has so many seeds; one alone shows no front, for the next may turn it round."""
    return all(entry.score.count >= least for entry in arms)


def in_figures(score: Interval) -> str:
    """ "0.8123 ± 0.0040", or the mean alone where there is no interval."""
    if score.count < 2:
        return f"{score.mean:.4f} (1 seed)"
    return f"{score.mean:.4f} ± {score.half_width:.4f}"


def scored(source: Source) -> pd.DataFrame:
    """The runs that have a score on the test split."""
    frame = table(source, "frame")
    return frame.dropna(subset=["metric"]) if "metric" in frame else frame.iloc[:0].assign(arm=None, metric=None)


def metric_name(source: Source, name: str | None) -> str:
    """The metric as axes name it: `name`, or the source's own with its definition."""
    metric = getattr(source, "metric", None)
    unit = getattr(metric, "unit", "")
    return name or ", ".join(filter(None, [getattr(metric, "name", "metric"), unit]))


def _marker(row: int, entry: ArmScore) -> go.Scatter:
    look, half = entry.look, entry.score.half_width
    return go.Scatter(
        x=[entry.score.mean],
        y=[row],
        name=look.name,
        mode="markers",
        marker={"symbol": look.marker, "size": 9, "color": look.colour},
        error_x={"type": "data", "array": [half if half == half else 0], "color": look.colour, "width": 5},
        hovertemplate=f"{in_figures(entry.score)}, {entry.score.count} seed(s)<extra>{look.name}</extra>",
    )


def _note(figure: go.Figure, row: int, text: str, **position: object) -> None:
    figure.add_annotation(**{"xref": "paper", **position}, text=text, y=row, yref="y", showarrow=False)
