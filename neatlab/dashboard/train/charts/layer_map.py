"""Effective rank of an arm, every layer at every measured step."""

import math
from collections.abc import Hashable

from neatlab import plots
from neatlab.dashboard.shared.live_plot import Chart, shown
from neatlab.dashboard.train.charts.base import Drawing, LiveChart
from neatlab.plots import LayerMapData
from neatlab.plots.looks import short_name

HINT = (
    "Each row is a layer, each column a moment. The stronger the cell, the more directions. All "
    "arms share one scale, unless one is four times as large as another. "
    "Layers that stay pale need fewer "
    "than they were given; that is where parameters could be saved."
)


def caption(data: LayerMapData, at: int | None) -> str:
    """The layers with the highest and the lowest effective rank."""
    column = next((i for i, step in reversed(list(enumerate(data.steps))) if at is None or step <= at), None)
    if column is None:
        return "Nothing measured yet."
    values = {name: row[column] for name, row in zip(data.layers, data.values, strict=True)}
    arm = short_name(data.arm)
    measured = {name: value for name, value in values.items() if not math.isnan(value)}
    if not measured:
        return f"{arm}, step {data.steps[column]}: ΔW = 0 in every layer, which has no effective rank."
    high, low = max(measured, key=lambda n: measured[n]), min(measured, key=lambda n: measured[n])
    return (
        f"{arm}, step {data.steps[column]}: highest effective rank {measured[high]:.2f} in {high}, "
        f"lowest {measured[low]:.2f} in {low}."
    )


def _depends(drawing: Drawing) -> Hashable:
    return drawing.measured, drawing.arm, drawing.view.at


def _draw(drawing: Drawing) -> str:
    figure = plots.layer_map(drawing.spectra, drawing.arm).update_layout(uirevision=f"{drawing.runs.key}-{drawing.arm}")
    text = caption(plots.layer_map_data(drawing.spectra, drawing.arm), drawing.view.at)
    return shown(drawing.over_steps(figure), text)


CHART: LiveChart = LiveChart(
    Chart(
        "map", "Effective rank, layer by layer", "Every layer at every measured step.", 270, HINT, term="effective-rank"
    ),
    _depends,
    _draw,
)
