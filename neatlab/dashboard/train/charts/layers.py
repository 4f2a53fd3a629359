"""Effective rank and size of ΔW in one layer, over the steps."""

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from neatlab import plots
from neatlab.dashboard.shared.live_plot import Chart, shown
from neatlab.dashboard.train.charts.base import Drawing, LiveChart
from neatlab.dashboard.train.snapshot import each_arm
from neatlab.plots import QUANTITIES, LayerCurveData
from neatlab.runtime.numbers import DASH

HINT = (
    "Effective rank says how many directions the update really uses: 1 when one direction holds everything, r when "
    "all weigh the same. ‖ΔW‖/‖W₀‖ says how large the update is beside the weight that it changes. A hidden unit "
    "that is dead gives 0 for every row of W₀: NEAT cannot use its direction any more."
)
DIGITS = {"effective_rank": 2, "relative_norm": 3, "dead_units": 2}


def caption(arms: Sequence[str], data: LayerCurveData, ranks: Mapping[str, Any]) -> str:
    """Latest value of each quantity."""
    latest = [
        f"{QUANTITIES[name]}: {each_arm(arms, {line.arm: _latest(line.mean) for line in lines}, DIGITS.get(name, 3))}"
        for name, lines in data.curves.items()
    ]
    return f"Now {'; '.join(latest) or DASH}. Rank set: {each_arm(arms, ranks, 0)}. No value while ΔW = 0."


def _latest(values: Sequence[float]) -> float:
    return next((value for value in reversed(values) if not math.isnan(value)), math.nan)


def depends(drawing: Drawing) -> Hashable:
    """What a chart of one layer shows."""
    return drawing.measured, drawing.layer, drawing.view.at


def _draw(drawing: Drawing) -> str:
    runs, layer = drawing.runs, drawing.layer
    figure = drawing.over_steps(plots.layer_curves(drawing.spectra, layer, arms=runs.arms))
    text = caption(runs.arms, plots.layer_curve_data(drawing.spectra, layer, arms=runs.arms), runs.ranks)
    return shown(figure.update_layout(uirevision=f"{runs.key}-{layer}"), text, layer)


CHART = LiveChart(
    Chart("layers", "ΔW in this layer over time", "Effective rank and size of ΔW.", 460, HINT), depends, _draw
)
