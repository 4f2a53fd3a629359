"""What a score costs, and what ΔW's effective rank has to do with it."""

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd
import plotly.graph_objects as go

from neatlab.analysis.statistics import pareto_front
from neatlab.errors import unknown
from neatlab.plots.intervals import ArmScore, in_figures, interval_data, metric_name, scored, several_seeds
from neatlab.plots.looks import Look
from neatlab.plots.spectrum import EFFECTIVE_RANK
from neatlab.plots.tables import Source, arm_looks
from neatlab.plots.theme import new_figure
from neatlab.plots.traces import front_trace

__all__ = ["ParetoData", "RankData", "pareto", "pareto_data", "rank_against_metric", "rank_data"]

COSTS = {
    "adapter_params": "adapter parameters",
    "seconds_per_step": "seconds a step, median over the run",
    "saved_bytes": "bytes kept for the backward pass of a batch",
}
WIDE = 10  # largest over smallest cost from which the axis is logarithmic


class ParetoData(NamedTuple):
    """Scores against one cost, for the arms that know both.

    Args:
        name: The metric.
        cost: What stands on the horizontal axis.
        arms: The arms.
        costs: Mean cost of each.
        front: Whether no other arm is as cheap and as good, and one of the two strictly; all False where an arm has too
            few seeds.
    """

    name: str
    cost: str
    arms: list[ArmScore]
    costs: list[float]
    front: list[bool]


class RankData(NamedTuple):
    """Effective rank and score of every run of one arm."""

    arm: str
    look: Look
    ranks: list[float]
    scores: list[float]
    seeds: list[int]


def pareto_data(
    source: Source,
    cost: str = "adapter_params",
    name: str | None = None,
    arms: Sequence[str] | None = None,
    higher_is_better: bool | None = None,
    min_seeds: int = 2,
) -> ParetoData:
    """Metric against a cost, and which arms are on the front.

    Args:
        source: `Results`, a `Comparison`, or their `frame()`.
        cost: A key of COSTS.
        name: The metric's name; a `Comparison` knows its own.
        arms: Order of the arms.
        higher_is_better: The metric's direction; a `Comparison` knows its own, else higher is better.
        min_seeds: Of every arm; with fewer there is no front.

    Raises:
        BadInput: No such cost.
    """
    if cost not in COSTS:
        raise unknown("cost", cost, COSTS)
    frame, data = scored(source), interval_data(source, name, arms)
    means = frame.groupby("arm")[cost].mean().dropna() if cost in frame else pd.Series(dtype=float)
    known = [entry for entry in data.arms if entry.arm in means.index]
    costs, scores = [float(means[entry.arm]) for entry in known], [entry.score.mean for entry in known]
    higher = getattr(getattr(source, "metric", None), "higher_is_better", True)
    front = pareto_front(costs, scores, higher if higher_is_better is None else higher_is_better)
    several = several_seeds(known, min_seeds)
    return ParetoData(data.name, COSTS[cost], known, costs, [bool(flag) and several for flag in front])


def pareto(
    source: Source,
    cost: str = "adapter_params",
    name: str | None = None,
    arms: Sequence[str] | None = None,
    higher_is_better: bool | None = None,
    dark: bool = False,
    min_seeds: int = 2,
) -> go.Figure:
    """Metric against a cost with 95 % intervals; a dotted line joins the arms on the front.

    Args:
        source: `Results`, a `Comparison`, or their `frame()`.
        cost: A key of COSTS.
        name: The metric's name; a `Comparison` knows its own.
        arms: Order of the arms.
        higher_is_better: The metric's direction; a `Comparison` knows its own, else higher is better.
        dark: For a dark page.
        min_seeds: Of every arm; with fewer no front is drawn.

    Returns:
        The figure.
    """
    data = pareto_data(source, cost, name, arms, higher_is_better, min_seeds)
    figure = new_figure([data.cost, data.name], dark=dark)
    rows = list(zip(data.arms, data.costs, data.front, strict=True))
    if sum(data.front) > 1:
        figure.add_trace(front_trace([(spent, entry.score.mean) for entry, spent, front in rows if front]))
    for entry, spent, front in rows:
        figure.add_trace(_point(entry, spent, front))
    if data.costs and max(data.costs) > WIDE * min(data.costs) > 0:
        return figure.update_xaxes(type="log")
    return figure.update_xaxes(rangemode="tozero")  # 4,096 and 4,097 parameters are the same cost


def rank_data(source: Source, arms: Sequence[str] | None = None) -> list[RankData]:
    """Effective rank, mean over layers at the end, and metric of every run that has both.

    Args:
        source: `Results`, a `Comparison`, or their `frame()`.
        arms: Order of the arms.
    """
    frame = scored(source)
    known = frame.dropna(subset=["effective_rank"]) if "effective_rank" in frame else frame.iloc[:0]
    groups = [(arm, look, known[known["arm"] == arm]) for arm, look in arm_looks(frame, arms).items()]
    return [
        RankData(arm, look, *(rows[name].tolist() for name in ("effective_rank", "metric", "seed")))
        for arm, look, rows in groups
        if len(rows)
    ]


def rank_against_metric(
    source: Source, name: str | None = None, arms: Sequence[str] | None = None, dark: bool = False
) -> go.Figure:
    """Metric against the effective rank of ΔW at the end of training, a marker a run.

    Args:
        source: `Results`, a `Comparison`, or their `frame()`.
        name: The metric's name; a `Comparison` knows its own.
        arms: Order of the arms.
        dark: For a dark page.

    Returns:
        The figure.
    """
    figure = new_figure([f"{EFFECTIVE_RANK}, mean over layers", metric_name(source, name)], dark=dark)
    for entry in rank_data(source, arms):
        look = entry.look
        trace = go.Scatter(
            x=entry.ranks,
            y=entry.scores,
            customdata=entry.seeds,
            name=look.name,
            mode="markers",
            marker={"symbol": look.marker, "size": 8, "color": look.colour, "opacity": 0.8},
            hovertemplate=f"seed %{{customdata}}: rank %{{x:.2f}}, %{{y:.4f}}<extra>{look.name}</extra>",
        )
        figure.add_trace(trace)
    return figure


def _point(entry: ArmScore, spent: float, front: bool) -> go.Scatter:
    look, half = entry.look, entry.score.half_width
    where = "on the Pareto front" if front else ""
    return go.Scatter(
        x=[spent],
        y=[entry.score.mean],
        name=look.name,
        mode="markers",
        marker={"symbol": look.marker, "size": 10, "color": look.colour},
        error_y={"type": "data", "array": [half if half == half else 0], "color": look.colour, "width": 4},
        hovertemplate=f"%{{x:,.4~g}}<br>{in_figures(entry.score)}<br>{where}<extra>{look.name}</extra>",
    )
