"""Mean ranks of arms over tasks, with what must lie between two of them for these to differ."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import pandas as pd
import plotly.graph_objects as go

from neatlab.analysis.ranks import Ranking, ranking
from neatlab.plots.looks import Look
from neatlab.plots.tables import arm_looks
from neatlab.plots.theme import QUIET, new_figure

__all__ = ["CriticalDifferenceData", "critical_difference", "critical_difference_data"]

ROW = 30  # pixels an arm
GAP = 0.35  # rows between two bars of arms alike
AXIS = "mean rank over tasks, 1 for the best"


class Framed(Protocol):
    """Anything with the table of `neatlab.suite`."""

    def frame(self) -> pd.DataFrame:
        """One row a task and arm."""


class CriticalDifferenceData(NamedTuple):
    """Arms with their mean ranks, and the test.

    Args:
        arms: The arms that are ranked, best first.
        looks: Arm → how it is shown.
        ranks: Arm → mean rank.
        ranking: Friedman's test, Nemenyi's critical difference and the arms that are alike.
    """

    arms: list[str]
    looks: dict[str, Look]
    ranks: dict[str, float]
    ranking: Ranking


def critical_difference_data(
    source: Framed | pd.DataFrame, arms: Sequence[str] | None = None, family: str | None = None
) -> CriticalDifferenceData:
    """Mean ranks over the tasks on which every ranked arm has a score.

    Args:
        source: A `SuiteResult`, or its `frame()`: task, family, arm, and score, higher being better.
        arms: The arms to rank among each other; all of them by default.
        family: Only tasks of this family.
    """
    frame = source if isinstance(source, pd.DataFrame) else source.frame()
    frame = frame if family is None else frame[frame["family"] == family]
    shown = arm_looks(frame, arms)
    by_task = frame[frame["arm"].isin([*shown])].groupby("task", sort=False)
    scores = {str(task): dict(zip(rows["arm"], rows["score"], strict=True)) for task, rows in by_task}
    order = ranking(scores, [*shown])
    ranks = {arm: rank for arm, rank in zip(order.arms, order.mean_ranks, strict=True) if rank == rank}
    best_first = sorted(ranks, key=lambda arm: ranks[arm])
    return CriticalDifferenceData(best_first, {arm: shown[arm] for arm in best_first}, ranks, order)


def critical_difference(
    source: Framed | pd.DataFrame, arms: Sequence[str] | None = None, family: str | None = None, dark: bool = False
) -> go.Figure:
    """Demšar's diagram: a row an arm at its mean rank; bars join arms whose ranks do not show a difference.

    Args:
        source: A `SuiteResult`, or its `frame()`.
        arms: The arms to rank among each other.
        family: Only tasks of this family.
        dark: For a dark page.

    Returns:
        The figure, its height fitting the number of arms; the critical difference is drawn at the top.
    """
    data = critical_difference_data(source, arms, family)
    figure = new_figure([AXIS, ""], dark=dark)
    for row, arm in enumerate(data.arms):
        figure.add_trace(_marker(row, data.looks[arm], data.ranks[arm]))
        figure.add_annotation(**_beside(data, arm), text=data.looks[arm].name, y=row, yref="y", showarrow=False)
    bars = data.ranking.alike
    for place, group in enumerate(bars):
        figure.add_trace(_bar(len(data.arms) + GAP * place, [data.ranks[arm] for arm in group], len(group)))
    if data.ranking.is_tested:
        figure.add_trace(_ruler(data.ranking.critical_difference))
        _label_ruler(figure, data.ranking)
    last = max(len(data.arms) + GAP * len(bars), 1)
    figure.update_yaxes(range=[last, -2], showticklabels=False, showgrid=False, zeroline=False, ticks="", title=None)
    figure.update_xaxes(range=[0.7, max(len(data.ranking.arms), 1) + 0.3], dtick=1)
    return figure.update_layout(showlegend=False, height=round(110 + ROW * (last + 1)), margin={"l": 12, "t": 8})


def _marker(row: int, look: Look, rank: float) -> go.Scatter:
    return go.Scatter(
        x=[rank],
        y=[row],
        name=look.name,
        mode="markers",
        marker={"symbol": look.marker, "size": 10, "color": look.colour},
        hovertemplate="mean rank %{x:.2f}<extra>" + look.name + "</extra>",
    )


def _beside(data: CriticalDifferenceData, arm: str) -> dict[str, object]:
    """Where an arm's name stands: on the side of its marker where there is more room."""
    is_left = data.ranks[arm] > (len(data.ranking.arms) + 1) / 2
    return {"x": data.ranks[arm], "xanchor": "right" if is_left else "left", "xshift": -10 if is_left else 10}


def _bar(height: float, ranks: Sequence[float], count: int) -> go.Scatter:
    said = f"{count} arms whose ranks show no difference<extra></extra>"
    ends = [min(ranks), max(ranks)]
    return go.Scatter(
        x=ends, y=[height] * 2, mode="lines", line={"width": 5, "color": QUIET}, hovertemplate=said, name="alike"
    )


def _ruler(apart: float) -> go.Scatter:
    ends = {"symbol": "line-ns-open", "size": 9, "color": QUIET}
    said = f"critical difference {apart:.2f}<extra></extra>"
    line = {"x": [1, 1 + apart], "y": [-1, -1], "line": {"width": 2, "color": QUIET}, "marker": ends}
    return go.Scatter(**line, mode="lines+markers", hovertemplate=said, name="critical difference")


def _label_ruler(figure: go.Figure, order: Ranking) -> None:
    text = f"critical difference {order.critical_difference:.2f} ({len(order.tasks)} tasks)"
    figure.add_annotation(text=text, x=1, xanchor="left", y=-1, yref="y", yshift=12, showarrow=False)
