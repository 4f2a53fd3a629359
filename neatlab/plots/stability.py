"""What an arm reached against what it left of the base: plasticity and stability in one figure."""

from collections.abc import Sequence
from typing import NamedTuple

import plotly.graph_objects as go

from neatlab.analysis.statistics import Interval, mean_interval, pareto_front
from neatlab.plots.intervals import ArmScore, in_figures, interval_data, scored, several_seeds
from neatlab.plots.tables import Source
from neatlab.plots.theme import QUIET, new_figure
from neatlab.plots.traces import front_trace

__all__ = ["StabilityData", "stability", "stability_data"]


class StabilityData(NamedTuple):
    """Scores against what is left of the base's own task, for the arms that know both.

    Args:
        name: The metric.
        base_name: The base's metric.
        before: The base's metric before training; NaN where unknown.
        arms: The arms with their scores.
        retained: The base's metric after training, an interval an arm.
        front: Whether no other arm is as good and leaves as much, and is ahead in one of the two; all False where
            an arm has one seed alone.
    """

    name: str
    base_name: str
    before: float
    arms: list[ArmScore]
    retained: list[Interval]
    front: list[bool]


def stability_data(
    source: Source,
    name: str | None = None,
    base_name: str | None = None,
    arms: Sequence[str] | None = None,
    higher_is_better: tuple[bool, bool] | None = None,
) -> StabilityData:
    """Metric and base metric after training of every arm, and which arms are on the front.

    Args:
        source: `Results`, a `Comparison`, or their `frame()`.
        name: The metric's name; a `Comparison` knows its own.
        base_name: The base metric's name; a `Comparison` knows its own.
        arms: Order of the arms.
        higher_is_better: Directions of the metric and the base's; a `Comparison` knows them, else higher is better.
    """
    frame, data = scored(source), interval_data(source, name, arms)
    frame = frame.dropna(subset=["base_metric"]) if "base_metric" in frame else frame.iloc[:0]
    known = [entry for entry in data.arms if (frame["arm"] == entry.arm).any()]
    retained = [mean_interval(frame.loc[frame["arm"] == entry.arm, "base_metric"]) for entry in known]
    metrics = [getattr(source, which, None) for which in ("metric", "base_metric")]
    higher, base_higher = higher_is_better or [getattr(metric, "higher_is_better", True) for metric in metrics]
    lost = [-one.mean if base_higher else one.mean for one in retained]
    front = pareto_front(lost, [entry.score.mean for entry in known], higher)
    several = several_seeds(known)
    before = frame["base_metric_before"].mean() if "base_metric_before" in frame else float("nan")
    named = base_name or str(getattr(metrics[1], "name", "base metric"))
    return StabilityData(data.name, named, float(before), known, retained, [bool(flag) and several for flag in front])


def stability(
    source: Source,
    name: str | None = None,
    base_name: str | None = None,
    arms: Sequence[str] | None = None,
    higher_is_better: tuple[bool, bool] | None = None,
    dark: bool = False,
) -> go.Figure:
    """Metric against what is left of the base, with 95 % intervals of both; a dotted line joins the arms on the front.

    Args:
        source: `Results`, a `Comparison`, or their `frame()`.
        name: The metric's name; a `Comparison` knows its own.
        base_name: The base metric's name; a `Comparison` knows its own.
        arms: Order of the arms.
        higher_is_better: Directions of the metric and the base's; a `Comparison` knows them, else higher is better.
        dark: For a dark page.

    Returns:
        The figure; a dashed line marks the base before training.
    """
    data = stability_data(source, name, base_name, arms, higher_is_better)
    figure = new_figure([f"{data.base_name}, after training", data.name], dark=dark)
    rows = list(zip(data.arms, data.retained, data.front, strict=True))
    if sum(data.front) > 1:
        figure.add_trace(front_trace([(retained.mean, entry.score.mean) for entry, retained, front in rows if front]))
    for entry, retained, front in rows:
        figure.add_trace(_point(entry, retained, front))
    if rows and data.before == data.before:
        mark = {"text": "before", "font": {"size": 11}}
        figure.add_vline(data.before, line={"dash": "dash", "width": 1, "color": QUIET}, annotation=mark)
    return figure


def _point(entry: ArmScore, retained: Interval, front: bool) -> go.Scatter:
    look = entry.look
    where = "on the front" if front else ""
    halves = {axis: one.half_width for axis, one in (("error_x", retained), ("error_y", entry.score))}
    bars = {
        axis: {"type": "data", "array": [half if half == half else 0], "color": look.colour, "width": 4}
        for axis, half in halves.items()
    }
    return go.Scatter(
        x=[retained.mean],
        y=[entry.score.mean],
        name=look.name,
        mode="markers",
        marker={"symbol": look.marker, "size": 10, "color": look.colour},
        hovertemplate=f"{in_figures(entry.score)}<br>base {in_figures(retained)}<br>{where}<extra>{look.name}</extra>",
        **bars,
    )
