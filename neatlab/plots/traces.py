"""Traces that several figures draw: a line with its band over seeds, a Pareto front."""

from collections.abc import Iterable, Sequence
from typing import Any

import plotly.graph_objects as go

from neatlab.plots.looks import faded
from neatlab.plots.tables import Line
from neatlab.plots.theme import QUIET

Trace = dict[str, Any]
CURSOR = "#8a94a0"  # visible on a light and on a dark page
BAND_NOTE = "line: mean over seeds; band: lowest to highest seed"

__all__ = ["mark_step"]


def line_traces(lines: Iterable[Line], hover: str, row: int = 1, legend: bool = True) -> list[Trace]:
    """Lines with markers, each with its band where it has several seeds.

    Args:
        lines: One an arm.
        hover: Text for x and mean under the pointer, in Plotly's notation.
        row: Panel, from the top.
        legend: Whether the arms are named in the legend.

    Returns:
        Traces for `new_figure`.
    """
    traces: list[Trace] = []
    for line in lines:
        traces += [_band(line) | {"yaxis": _panel(row)}] if line.seeds > 1 else []
        traces.append(
            _line(line, hover, row)
            | {
                "showlegend": legend,
                "mode": "lines+markers",
                "line": {"color": line.look.colour, "width": 2, "dash": line.look.dash},
                "marker": {"symbol": line.look.marker, "size": 8, "color": line.look.colour},
            }
        )
    return traces


def thin_line_traces(lines: Sequence[Line], hover: str, row: int = 1) -> list[Trace]:
    """Thin and pale lines, without markers, legend or band: many noisy points behind what matters."""
    pale = [{"color": faded(line.look.colour, 0.5), "width": 1.2} for line in lines]
    return [
        _line(line, hover, row) | {"showlegend": False, "mode": "lines", "line": look}
        for line, look in zip(lines, pale, strict=True)
    ]


def front_trace(points: Iterable[tuple[float, float]]) -> go.Scatter:
    """A dotted line through the points of a Pareto front, by their x."""
    ordered = sorted(points)
    return go.Scatter(
        x=[x for x, _ in ordered],
        y=[y for _, y in ordered],
        mode="lines",
        line={"dash": "dot", "width": 1.5, "color": QUIET},
        showlegend=False,
        hoverinfo="skip",
    )


def note_seeds(figure: go.Figure, lines: Iterable[Line]) -> None:
    """Say what the band is, where there is one."""
    if any(line.seeds > 1 for line in lines):
        position = {"x": 1, "y": 0.995, "xref": "paper", "yref": "paper", "xanchor": "right", "yanchor": "top"}
        figure.add_annotation(text=BAND_NOTE, showarrow=False, font={"size": 11}, **position)


def mark_step(figure: go.Figure, step: int) -> go.Figure:
    """Draw a cursor at a training step through all panels."""
    return figure.add_shape(
        type="line", x0=step, x1=step, y0=0, y1=1, yref="paper", line={"color": CURSOR, "width": 1.5, "dash": "dash"}
    )


def _line(line: Line, hover: str, row: int) -> Trace:
    return {
        "type": "scatter",
        "x": line.x,
        "y": line.mean,
        "yaxis": _panel(row),
        "name": line.look.name,
        "legendgroup": line.arm,
        "hovertemplate": f"{hover}<extra>{line.look.name}</extra>",
    }


def _band(line: Line) -> Trace:
    known = [(x, low, high) for x, low, high in zip(line.x, line.low, line.high, strict=True) if low == low]
    outline = [(x, high) for x, _, high in known] + [(x, low) for x, low, _ in reversed(known)]
    return {
        "type": "scatter",
        "x": [x for x, _ in outline],
        "y": [y for _, y in outline],
        "mode": "lines",  # with few points Plotly adds markers by itself
        "fill": "toself",
        "fillcolor": faded(line.look.colour, 0.15),
        "line": {"width": 0},
        "legendgroup": line.arm,
        "showlegend": False,
        "hoverinfo": "skip",
    }


def _panel(row: int) -> str:
    return "y" if row == 1 else f"y{row}"
