"""What a search for the learning rate saw: the validation score over the rates, a line an arm."""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import pandas as pd
import plotly.graph_objects as go

from neatlab.plots.looks import Look
from neatlab.plots.tables import Line, Source, arm_looks, lines, table
from neatlab.plots.theme import new_figure
from neatlab.plots.traces import line_traces

__all__ = ["RateData", "rate_data", "rates"]

LEARNING_RATE = "peak learning rate of the adapter"
MAX_NAMED_RATES = 8  # rates that are each named on the axis
By = Literal["metric", "loss"]


class Tried(NamedTuple):
    """One run at another scaling than its arm's own.

    Args:
        look: How its arm is shown.
        variant: The arm with that scaling.
        lr: Its learning rate.
        score: Its validation score.
    """

    look: Look
    variant: str
    lr: float
    score: float


class Suggested(NamedTuple):
    """The rate that the curvature at an arm's start suggests.

    Args:
        look: How the arm is shown.
        arm: The arm.
        lr: The rate.
    """

    look: Look
    arm: str
    lr: float


class RateData(NamedTuple):
    """Validation scores of a search.

    Args:
        name: What stands on the vertical axis.
        rates: Every rate tried.
        curves: A line an arm at its own scaling; NaN where the run diverged.
        scalings: The runs at other scalings.
        suggested: One an arm, at its own scaling, where the search measured the curvature.
    """

    name: str
    rates: list[float]
    curves: list[Line]
    scalings: list[Tried]
    suggested: list[Suggested]


def rate_data(source: Source, by: By | None = None, arms: Sequence[str] | None = None) -> RateData:
    """Validation score over the learning rate, from the runs that chose it.

    Args:
        source: A `Comparison`, or its `search_frame()`.
        by: Score that the search chose by; a `Comparison` knows its own.
        arms: Order of the arms, without what was searched for.
    """
    chosen = str(by or getattr(source, "selects_by", "metric"))
    frame, score = table(source, "search_frame"), f"validation_{chosen}"
    metric = getattr(getattr(source, "metric", None), "name", "metric")
    name = f"validation {metric if chosen == 'metric' else 'loss'}, at the end"
    if frame.empty or score not in frame:
        return RateData(name, [], [], [], [])
    frame = frame.assign(score=frame[score].where(frame["status"] == "finished").astype(float))
    main_variant = frame["variant"] == frame.groupby("arm", sort=False)["variant"].transform(_most_tried)
    shown = arm_looks(frame, arms)
    others = frame[~main_variant & frame["arm"].isin(list(shown))]
    tried = [
        Tried(shown[arm], variant, lr, value)
        for arm, variant, lr, value in zip(*(others[c] for c in ("arm", "variant", "lr", "score")), strict=True)
    ]
    main = frame[main_variant]
    return RateData(
        name, sorted(set(frame["lr"])), lines(main, "lr", "score", list(shown)), tried, _suggested(main, shown)
    )


def rates(source: Source, by: By | None = None, arms: Sequence[str] | None = None, dark: bool = False) -> go.Figure:
    """Validation score over the learning rate; open markers are the same arm at another scaling.

    A dotted line stands at the rate that the curvature at an arm's start suggests, in the arm's colour.

    Args:
        source: A `Comparison`, or its `search_frame()`.
        by: Score that the search chose by; a `Comparison` knows its own.
        arms: Order of the arms, without what was searched for.
        dark: For a dark page.

    Returns:
        The figure.
    """
    data = rate_data(source, by, arms)
    traces = line_traces(data.curves, "rate %{x:.3g}<br>%{y:.4f}")
    figure = new_figure([LEARNING_RATE, data.name], dark=dark, traces=traces)
    for tried in data.scalings:
        figure.add_trace(_open_marker(tried))
    for suggested in data.suggested:
        figure.add_shape(_mark(suggested))
    if len(data.rates) <= MAX_NAMED_RATES:
        figure.update_xaxes(tickvals=data.rates, ticktext=[f"{rate:.3g}" for rate in data.rates])
    return figure.update_xaxes(type="log")


def _open_marker(tried: Tried) -> go.Scatter:
    look = tried.look
    return go.Scatter(
        x=[tried.lr],
        y=[tried.score],
        mode="markers",
        showlegend=False,
        marker={"symbol": f"{look.marker}-open", "size": 9, "color": look.colour},
        hovertemplate=f"rate %{{x:.3g}}<br>%{{y:.4f}}<extra>{tried.variant}</extra>",
    )


def _suggested(frame: pd.DataFrame, shown: Mapping[str, Look]) -> list[Suggested]:
    """Each arm's, from the run in which it was measured."""
    if "suggested_lr" not in frame:
        return []
    known = frame[frame["suggested_lr"].notna() & frame["arm"].isin(list(shown))].drop_duplicates("arm")
    pairs = zip(known["arm"], known["suggested_lr"], strict=True)
    return [Suggested(shown[arm], arm, float(rate)) for arm, rate in pairs]


def _mark(suggested: Suggested) -> go.layout.Shape:
    line = {"color": suggested.look.colour, "width": 1.5, "dash": "dot"}
    span = {"x0": suggested.lr, "x1": suggested.lr, "y0": 0, "y1": 1, "yref": "paper"}
    return go.layout.Shape(type="line", name=f"suggested for {suggested.arm}", line=line, **span)


def _most_tried(variants: pd.Series) -> str:
    """The arm's own scaling is the one tried at every rate; the first where all are tried as often."""
    counts = variants.value_counts(sort=False)
    return str(counts.idxmax())
