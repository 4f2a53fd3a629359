"""Whose directions ΔW uses: W₀'s on each side, and another adapter's, with random directions for comparison."""

from typing import NamedTuple, Protocol

import pandas as pd
import plotly.graph_objects as go

from neatlab.errors import BadInput
from neatlab.plots.looks import Look, looks, short_name
from neatlab.plots.profile import LAYERS, Inspected, inspected, random_line
from neatlab.plots.tables import arm_looks, short_layers
from neatlab.plots.theme import new_figure

__all__ = ["AngleLine", "OverlapData", "angle_data", "overlap", "overlap_data", "principal_angles"]

SIDES = {"left": "writes to (left)", "right": "reads from (right)"}
DEGREES = 57.29577951308232  # in a radian


class OverlapLine(NamedTuple):
    """One adapter on one side.

    Args:
        adapter: Its title.
        look: How it is shown.
        side: "left" or "right".
        similarity: φ a layer; NaN where ΔW = 0.
        random: Of random directions.
    """

    adapter: str
    look: Look
    side: str
    similarity: list[float]
    random: list[float]


class OverlapData(NamedTuple):
    """Overlap with W₀'s leading directions.

    Args:
        layers: The layers in the model's order.
        lines: One an adapter and side.
    """

    layers: list[str]
    lines: list[OverlapLine]


class Compared(Protocol):
    """A comparison of adapters."""

    def angles(self) -> pd.DataFrame:
        """A row a pair, layer, side and angle."""


class AngleLine(NamedTuple):
    """Principal angles of one pair on one side, means over the layers that have them.

    Args:
        pair: The two adapters.
        look: How it is shown; a pair has no method's colour.
        side: "left" or "right".
        angles: In degrees, the smallest first.
        random: Of random subspaces of the same sizes.
    """

    pair: str
    look: Look
    side: str
    angles: list[float]
    random: list[float]


def overlap_data(source: Inspected | pd.DataFrame) -> OverlapData:
    """Overlap of ΔW's and W₀'s leading directions, layer by layer, the two sides apart.

    Args:
        source: An inspection with a base, a comparison of adapters, or their `frame()`.

    Raises:
        BadInput: It was made without overlaps.
    """
    frame = inspected(source)
    if "overlap_left" not in frame:
        raise BadInput("no overlaps were measured; inspect with --base, and --directions above 0")
    layers = list(dict.fromkeys(frame["layer"]))
    lines = [
        OverlapLine(
            adapter,
            look,
            side,
            by_layer[f"overlap_{side}"].tolist(),
            by_layer[f"random_overlap_{side}"].tolist(),
        )
        for adapter, look in arm_looks(frame, None, "adapter").items()
        for by_layer in [frame[frame["adapter"] == adapter].set_index("layer").reindex(layers)]
        for side in SIDES
    ]
    return OverlapData(layers, lines)


def overlap(source: Inspected | pd.DataFrame, dark: bool = False) -> go.Figure:
    """Overlap with W₀'s leading directions over the layers, a panel a side; dotted: random directions.

    Args:
        source: An inspection with a base, a comparison of adapters, or their `frame()`.
        dark: For a dark page.

    Returns:
        The figure.
    """
    data = overlap_data(source)
    names = [f"overlap, {word}" for word in SIDES.values()]
    figure, short = new_figure([LAYERS, *names], (0.5, 0.5), dark=dark), short_layers(data.layers)
    for line in data.lines:
        axis = "y" if line.side == "left" else "y2"
        figure.add_trace(random_line(short, line.random, f"{line.look.name}, random", yaxis=axis))
        figure.add_trace(_measured(line, short, data.layers, axis))
    figure.update_xaxes(type="category")
    figure.update_yaxes(range=[0, 1.02])
    return figure


def _measured(line: OverlapLine, short: list[str], layers: list[str], axis: str) -> go.Scatter:
    look = line.look
    return go.Scatter(
        x=short,
        y=line.similarity,
        customdata=layers,
        yaxis=axis,
        name=look.name,
        legendgroup=line.adapter,
        showlegend=line.side == "left",
        mode="lines+markers",
        line={"color": look.colour, "width": 1.5, "dash": look.dash},
        marker={"symbol": look.marker, "size": 6, "color": look.colour},
        hovertemplate=f"%{{customdata}}<br>overlap %{{y:.3f}}<extra>{look.name}</extra>",
    )


def angle_data(source: Compared | pd.DataFrame, layer: str | None = None) -> list[AngleLine]:
    """Principal angles between adapters, a line a pair and side.

    Args:
        source: A comparison of adapters, or its `angles()`.
        layer: One layer; by default the mean over all.
    """
    frame = source if isinstance(source, pd.DataFrame) else source.angles()
    rows = frame if layer is None else frame[frame["layer"] == layer]
    groups = {
        f"{short_name(str(a))} – {short_name(str(b))}": pair for (a, b), pair in rows.groupby(["a", "b"], sort=False)
    }
    angle_lines = []
    for pair, look in looks(groups, dict.fromkeys(groups, "pair")).items():
        for side in SIDES:
            of_side = groups[pair][groups[pair]["side"] == side]
            means = of_side.groupby("i")[["angle", "random_angle"]].mean() * DEGREES
            angle_lines.append(AngleLine(pair, look, side, means["angle"].tolist(), means["random_angle"].tolist()))
    return angle_lines


def principal_angles(source: Compared | pd.DataFrame, layer: str | None = None, dark: bool = False) -> go.Figure:
    """Principal angles between adapters, a panel a side; dotted: random subspaces of the same sizes.

    Args:
        source: A comparison of adapters, or its `angles()`.
        layer: One layer; by default the mean over all.
        dark: For a dark page.

    Returns:
        The figure.
    """
    names = [f"angle in degrees, {word}" for word in SIDES.values()]
    figure = new_figure(["index of the angle, smallest first", *names], (0.5, 0.5), dark=dark)
    for line in angle_data(source, layer):
        axis, look = ("y" if line.side == "left" else "y2"), line.look
        order = list(range(1, len(line.angles) + 1))
        figure.add_trace(random_line(order, line.random, f"{look.name}, random", yaxis=axis))
        figure.add_trace(
            go.Scatter(
                x=order,
                y=line.angles,
                yaxis=axis,
                name=look.name,
                showlegend=line.side == "left",
                mode="lines+markers",
                line={"color": look.colour, "width": 1.5, "dash": look.dash},
                marker={"symbol": look.marker, "size": 6, "color": look.colour},
                hovertemplate=f"angle %{{x}}: %{{y:.1f}}°<extra>{look.name}</extra>",
            )
        )
    figure.update_xaxes(tickformat="d")
    return figure.update_yaxes(range=[0, 92])
