"""One look for every figure: one colour and one marker an arm, readable on a light and on a dark page."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import plotly.graph_objects as go

# Okabe and Ito's colours, which colour-blind readers can distinguish; black is left out (it is lost on a dark page) and
# yellow too (on a light one). Markers tell the arms apart where colour does not, in print for instance.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("circle", "square", "diamond", "triangle-up", "cross", "x")
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'Liberation Sans', sans-serif"


class Style(NamedTuple):
    """How one arm is drawn in every figure."""

    colour: str
    marker: str


def style(index: int) -> Style:
    """The style of the arm at `index`; after six arms the colours go round against the markers."""
    return Style(COLOURS[index % len(COLOURS)], MARKERS[(index + index // len(COLOURS)) % len(MARKERS)])


def faded(colour: str, share: float) -> str:
    """`colour` (#rrggbb) at `share` of its opacity."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{share:g})"


def _template(text: str, line: str, ground: str) -> go.layout.Template:
    axis = {
        "gridcolor": line,
        "linecolor": line,
        "zerolinecolor": line,
        "ticks": "outside",
        "tickcolor": line,
        "title": {"standoff": 8, "font": {"size": 12}},
        "automargin": True,
        "ticklabeloverflow": "allow",  # to measure every label takes a browser a fifth of the drawing
    }
    layout: dict[str, Any] = {
        "font": {"family": FONT, "size": 12, "color": text},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "colorway": list(COLOURS),
        "xaxis": axis,
        "yaxis": axis,
        "legend": {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"},
        "margin": {"l": 56, "r": 16, "t": 36, "b": 44},
        "hoverlabel": {"bgcolor": ground, "font": {"color": text, "family": FONT}, "bordercolor": line},
        "hovermode": "closest",
    }
    return go.layout.Template(layout=layout)


LIGHT = _template("#1f2933", "#d5dae1", "#ffffff")
DARK = _template("#e4e7eb", "#3e4a59", "#1f2933")


def new_figure(
    names: Sequence[str],
    heights: Sequence[float] = (1.0,),
    dark: bool = False,
    traces: Sequence[Mapping[str, Any]] = (),
) -> go.Figure:
    """A figure in the theme: panels under each other on one horizontal axis.

    Args:
        names: Name of the horizontal axis, then of each panel's vertical axis from the top.
        heights: Share of the height that each panel takes.
        dark: Whether it stands on a dark page; the background is transparent either way.
        traces: What is drawn in it.

    Returns:
        The figure.
    """
    x_name, *y_names = names
    layout: dict[str, Any] = {"template": DARK if dark else LIGHT, "uirevision": "keep"}
    gap, top = (0.08 if len(heights) > 1 else 0.0), 1.0
    for row, (y_name, share) in enumerate(zip(y_names, heights, strict=True), start=1):
        height = share * (1 - gap * (len(heights) - 1))
        key = "" if row == 1 else str(row)
        layout[f"yaxis{key}"] = {"title": {"text": y_name}, "domain": [max(top - height, 0.0), top]}
        top -= height + gap
    bottom = "y" if len(heights) == 1 else f"y{len(heights)}"
    layout["xaxis"] = {"title": {"text": x_name}, "anchor": bottom}
    # Unvalidated, which is ten times as fast: live charts are made several times a second. The tests validate them.
    return go.Figure({"data": traces, "layout": layout}, _validate=False)
