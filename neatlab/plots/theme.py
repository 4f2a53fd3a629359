"""One look for every figure, readable on a light and on a dark page."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'Liberation Sans', sans-serif"
LEGEND = {
    "orientation": "h",
    "x": 0,
    "xanchor": "left",
    "y": 1.02,
    "yanchor": "bottom",
    "font": {"size": 11},
    "tracegroupgap": 0,
    "maxheight": 80,  # pixels: four lines at most
}
LOW, FEW_TICKS = 0.25, 3  # panels of less than this share of the height have few ticks
WIDEST_NAME = 52  # characters beside a figure of 400 pixels
QUIET = "#7b8794"  # of what belongs to no arm: seen on a light and on a dark page


def _template(text: str, line: str, ground: str, cells: list[str]) -> go.layout.Template:
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
        "colorway": [QUIET],
        "xaxis": axis,
        "yaxis": axis,
        "legend": LEGEND,
        "modebar": {"orientation": "v", "bgcolor": "rgba(0,0,0,0)"},  # beside the legend, not on it
        "margin": {"l": 56, "r": 16, "t": 36, "b": 44},
        "hoverlabel": {"bgcolor": ground, "font": {"color": text, "family": FONT}, "bordercolor": line},
        "hovermode": "closest",
    }
    return go.layout.Template(layout=layout, data={"heatmap": [{"colorscale": cells}]})


# Cells from nothing to much: nothing is near the page's ground, and much stands out from it, on either page.
LIGHT = _template("#1f2933", "#d5dae1", "#ffffff", ["#edf1f7", "#a9b8d3", "#687ba8", "#2c3a66"])
DARK = _template("#e4e7eb", "#3e4a59", "#1f2933", ["#222d3d", "#405377", "#7590c0", "#d3e1ff"])


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
    y_names = [_wrapped(name, share) for name, share in zip(y_names, heights, strict=True)]
    layout: dict[str, Any] = {"template": DARK if dark else LIGHT, "uirevision": "keep"}
    gap, top = (0.08 if len(heights) > 1 else 0.0), 1.0
    for row, (y_name, share) in enumerate(zip(y_names, heights, strict=True), start=1):
        height = share * (1 - gap * (len(heights) - 1))
        key = "" if row == 1 else str(row)
        ticks = {"nticks": FEW_TICKS} if share < LOW else {}
        layout[f"yaxis{key}"] = {"title": {"text": y_name}, "domain": [max(top - height, 0.0), top], **ticks}
        top -= height + gap
    bottom = "y" if len(heights) == 1 else f"y{len(heights)}"
    layout["xaxis"] = {"title": {"text": x_name}, "anchor": bottom}
    # Unvalidated, which is ten times as fast: live charts are made several times a second. The tests validate them.
    return go.Figure({"data": traces, "layout": layout}, _validate=False)


def _wrapped(name: str, share: float) -> str:
    """The name of a panel's axis in lines that fit beside it, so that neighbours' names do not meet."""
    return "<br>".join(textwrap.wrap(name, max(round(WIDEST_NAME * share), 8))) if share < 1 else name
