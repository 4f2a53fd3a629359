"""What sums up ΔW, over the steps and over the layers."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go

from neatlab.analysis import quantities as measured
from neatlab.errors import unknown
from neatlab.plots.spectrum import of_layer
from neatlab.plots.tables import Line, Source, arm_order, differ_hundredfold, lines, short_layers, table
from neatlab.plots.theme import new_figure
from neatlab.plots.traces import line_traces, note_seeds

__all__ = [
    "LayerCurveData",
    "LayerMapData",
    "QUANTITIES",
    "layer_curve_data",
    "layer_curves",
    "layer_map",
    "layer_map_data",
]

# What a run measures as it trains; `dead_units` is a share there.
QUANTITIES = {
    name: measured.QUANTITIES[name].label
    for name in (
        "effective_rank",
        "stable_rank",
        "participation_ratio",
        "norm",
        "relative_norm",
        "dead_units",
    )
}
SHOWN = ("effective_rank", "relative_norm", "dead_units")


class LayerCurveData(NamedTuple):
    """Quantities of one layer's ΔW over the steps.

    Args:
        layer: The layer; None for the mean over all of them.
        curves: Quantity → a line an arm; a quantity that no arm has is left out.
    """

    layer: str | None
    curves: dict[str, list[Line]]


class LayerMapData(NamedTuple):
    """One quantity of one arm, over layers and steps.

    Args:
        arm: The arm; empty where nothing was measured.
        layers: From the top.
        steps: Measured steps.
        values: A row a layer, the mean over seeds; NaN where there is none.
        largest: Where the scale ends, which begins at 0: the largest value of any arm, so that arms can be compared;
            the arm's own where that is less than a quarter of it, and would be nothing but pale.
    """

    arm: str
    layers: list[str]
    steps: list[int]
    values: list[list[float]]
    largest: float


def layer_curve_data(
    source: Source,
    layer: str | None = None,
    quantities: Sequence[str] = SHOWN,
    arms: Sequence[str] | None = None,
) -> LayerCurveData:
    """Quantities of ΔW over the steps.

    Args:
        source: `Results`, a `Comparison`, or their `spectra()`.
        layer: The layer; by default the mean over all layers.
        quantities: Keys of QUANTITIES.
        arms: Order of the arms.

    Raises:
        BadInput: No such layer or quantity.
    """
    frame = table(source, "spectra")
    rows = frame if layer is None or frame.empty else of_layer(frame, layer)
    curves = {name: _known(lines(rows, "step", _checked(name), arms)) for name in quantities}
    return LayerCurveData(layer, {name: arms_lines for name, arms_lines in curves.items() if arms_lines})


def layer_curves(
    source: Source,
    layer: str | None = None,
    quantities: Sequence[str] = SHOWN,
    arms: Sequence[str] | None = None,
    dark: bool = False,
) -> go.Figure:
    """A panel a quantity over one axis of steps; a gap where ΔW = 0.

    A panel in which one arm is a hundred times as large as another is logarithmic.

    Args:
        source: `Results`, a `Comparison`, or their `spectra()`.
        layer: The layer; by default the mean over all layers.
        quantities: Keys of QUANTITIES.
        arms: Order of the arms.
        dark: For a dark page.

    Returns:
        The figure.
    """
    data = layer_curve_data(source, layer, quantities, arms)
    panels = data.curves or {quantities[0]: []}
    names = ["training step", *(QUANTITIES[name] for name in panels)]
    traces = [
        trace
        for row, (name, panel) in enumerate(panels.items(), start=1)
        for trace in line_traces(panel, f"step %{{x}}<br>{QUANTITIES[name]} %{{y:.4g}}", row, legend=row == 1)
    ]
    figure = new_figure(names, heights=[1 / len(panels)] * len(panels), dark=dark, traces=traces)
    note_seeds(figure, next(iter(panels.values())))
    figure.update_yaxes(rangemode="tozero")
    for row, panel in enumerate(panels.values(), start=1):
        figure.update_layout({f"yaxis{row if row > 1 else ''}.type": "log" if differ_hundredfold(panel) else "linear"})
    return figure


def layer_map_data(source: Source, arm: str | None = None, quantity: str = "effective_rank") -> LayerMapData:
    """One quantity of one arm's ΔW in every layer at every measured step.

    Args:
        source: `Results`, a `Comparison`, or their `spectra()`.
        arm: The arm; the first by default.
        quantity: A key of QUANTITIES.

    Raises:
        BadInput: No such quantity.
    """
    frame = table(source, "spectra")
    shown = arm or next(iter(arm_order(frame, None)), "")
    rows = frame[frame["arm"] == shown]
    if rows.empty:
        return LayerMapData("", [], [], [], 0.0)
    layers, steps = list(dict.fromkeys(rows["layer"])), np.unique(rows["step"].to_numpy(dtype=int)).tolist()
    means = frame.groupby(["arm", "layer", "step"], sort=False)[_checked(quantity)].mean()
    grid = means[shown].unstack("step").reindex(index=layers, columns=steps)
    largest, own = (float(np.fmax.reduce(values.to_numpy(), initial=0)) for values in (means, means[shown]))
    scale = largest if 4 * own >= largest else own
    return LayerMapData(shown, layers, steps, grid.to_numpy(float).tolist(), scale)


def layer_map(
    source: Source, arm: str | None = None, quantity: str = "effective_rank", dark: bool = False
) -> go.Figure:
    """Layers from the top, steps to the right, the quantity as colour, on one scale for all arms.

    Args:
        source: `Results`, a `Comparison`, or their `spectra()`.
        arm: The arm; the first by default.
        quantity: A key of QUANTITIES.
        dark: For a dark page.

    Returns:
        The figure.
    """
    data = layer_map_data(source, arm, quantity)
    figure = new_figure(["training step", ""], dark=dark)
    figure.add_trace(_cells(data, QUANTITIES[_checked(quantity)]))
    figure.update_yaxes(type="category", autorange="reversed", showgrid=False, ticks="")
    return figure.update_xaxes(showgrid=False).update_layout(margin={"l": 8, "r": 8, "t": 12, "b": 44})


def _cells(data: LayerMapData, name: str) -> go.Heatmap:
    colour_bar: dict[str, Any] = {
        "title": {"text": name, "side": "right", "font": {"size": 12}},
        "thickness": 12,
        "outlinewidth": 0,
    }
    return go.Heatmap(
        x=data.steps,
        y=short_layers(data.layers),
        z=[[None if value != value else value for value in row] for row in data.values],
        zmin=0,
        zmax=data.largest or 1,
        colorbar=colour_bar,
        hoverongaps=False,
        hovertemplate=f"%{{y}}<br>step %{{x}}<br>{name} %{{z:.3f}}<extra></extra>",
    )


def _known(curves: list[Line]) -> list[Line]:
    return [line for line in curves if any(value == value for value in line.mean)]


def _checked(quantity: str) -> str:
    if quantity not in QUANTITIES:
        raise unknown("quantity", quantity, QUANTITIES)
    return quantity
