"""Traces that several figures draw: a line with its band over seeds."""

from collections.abc import Iterable

import plotly.graph_objects as go

from neatlab.plots.tables import Line
from neatlab.plots.theme import faded, style

CURSOR = "#8a94a0"  # visible on a light and on a dark page
BAND_NOTE = "line: mean over seeds; band: lowest to highest seed"


def add_lines(figure: go.Figure, lines: Iterable[Line], hover: str, row: int = 1, legend: bool = True) -> None:
    """Draw lines with markers, each with its band where it has several seeds.

    Args:
        figure: Drawn on.
        lines: One an arm.
        hover: Text for x and mean under the pointer, in Plotly's notation.
        row: Panel, from the top.
        legend: Whether the arms are named in the legend.
    """
    for line in lines:
        look, panel = style(line.place), _panel(row)
        if line.seeds > 1:
            figure.add_trace(_band(line).update(yaxis=panel))
        trace = go.Scatter(
            x=line.x,
            y=line.mean,
            yaxis=panel,
            name=line.arm,
            legendgroup=line.arm,
            showlegend=legend,
            mode="lines+markers",
            line={"color": look.colour, "width": 2},
            marker={"symbol": look.marker, "size": 8, "color": look.colour},
            hovertemplate=f"{hover}<extra>{line.arm}</extra>",
        )
        figure.add_trace(trace)


def add_thin_lines(figure: go.Figure, lines: Iterable[Line], hover: str, row: int = 1) -> None:
    """Draw lines thin and pale, without markers, legend or band: many noisy points behind what matters."""
    for line in lines:
        trace = go.Scatter(
            x=line.x,
            y=line.mean,
            yaxis=_panel(row),
            name=line.arm,
            legendgroup=line.arm,
            showlegend=False,
            mode="lines",
            line={"color": faded(style(line.place).colour, 0.5), "width": 1.2},
            hovertemplate=f"{hover}<extra>{line.arm}</extra>",
        )
        figure.add_trace(trace)


def note_seeds(figure: go.Figure, lines: Iterable[Line]) -> None:
    """Say what the band is, where there is one."""
    if any(line.seeds > 1 for line in lines):
        place = {"x": 1, "y": 0.995, "xref": "paper", "yref": "paper", "xanchor": "right", "yanchor": "top"}
        figure.add_annotation(text=BAND_NOTE, showarrow=False, font={"size": 11}, **place)


def mark_step(figure: go.Figure, step: int) -> go.Figure:
    """Draw a cursor at a training step through all panels."""
    return figure.add_shape(
        type="line", x0=step, x1=step, y0=0, y1=1, yref="paper", line={"color": CURSOR, "width": 1.5, "dash": "dash"}
    )


def _band(line: Line) -> go.Scatter:
    known = [(x, low, high) for x, low, high in zip(line.x, line.low, line.high, strict=True) if low == low]
    outline = [(x, high) for x, _, high in known] + [(x, low) for x, low, _ in reversed(known)]
    return go.Scatter(
        x=[x for x, _ in outline],
        y=[y for _, y in outline],
        mode="lines",  # with few points Plotly adds markers by itself
        fill="toself",
        fillcolor=faded(style(line.place).colour, 0.15),
        line={"width": 0},
        legendgroup=line.arm,
        showlegend=False,
        hoverinfo="skip",
    )


def _panel(row: int) -> str:
    return "y" if row == 1 else f"y{row}"
