"""Effective rank and size of ΔW in one layer, over the steps."""

import math
from collections.abc import Hashable, Mapping, Sequence

from neatlab import plots
from neatlab.analysis.quantities import EXPLODED
from neatlab.dashboard.shared.live_plot import Chart, shown
from neatlab.dashboard.train.charts.base import Drawing, LiveChart
from neatlab.dashboard.train.snapshot import each_arm, moment
from neatlab.plots import QUANTITIES, LayerCurveData
from neatlab.plots.looks import looks
from neatlab.plots.tables import Line
from neatlab.runtime.numbers import DASH

HINT = (
    "Effective rank says how many directions the update really uses: 1 when one direction holds everything, r when "
    "all weigh the same. ‖ΔW‖/‖W₀‖ says how large the update is beside the weight that it changes. A hidden unit "
    "that is dead gives 0 for every row of W₀: NEAT cannot use its direction any more."
)
DIGITS = {"effective_rank": 2, "relative_norm": 3, "dead_units": 2}


def caption(arms: Sequence[str], data: LayerCurveData, at: int | None = None) -> str:
    """Value of each quantity as of the cursor, and a warning where an arm has outgrown the weight that it changes."""
    values = {name: {line.arm: _latest(line, at) for line in lines} for name, lines in data.curves.items()}
    dead = {arm: share for arm, share in values.pop("dead_units", {}).items() if share > 0}
    parts = {**values, **({"dead_units": dead} if dead else {})}
    latest = [f"{QUANTITIES[name]}: {each_arm(list(of), of, DIGITS.get(name, 3))}" for name, of in parts.items()]
    return f"In this layer, {moment(at)}: {'. '.join(latest) or DASH}.{_warning(arms, values.get('relative_norm', {}))}"


def _latest(line: Line, at: int | None) -> float:
    """The last value up to the cursor."""
    seen = [value for x, value in zip(line.x, line.mean, strict=True) if at is None or x <= at]
    return next((value for value in reversed(seen) if not math.isnan(value)), math.nan)


def _warning(arms: Sequence[str], sizes: Mapping[str, float]) -> str:
    grown = [look.name for arm, look in looks(arms).items() if sizes.get(arm, 0.0) >= EXPLODED]
    if not grown:
        return ""
    return (
        f" ‖ΔW‖ is at least {EXPLODED:g} ‖W₀‖ with {' and with '.join(grown)}: this layer is hardly the pretrained one "
        "any more. Try a smaller learning rate; Inspect says more."
    )


def depends(drawing: Drawing) -> Hashable:
    """What a chart of one layer shows."""
    return drawing.measured, drawing.layer, drawing.view.at


def _draw(drawing: Drawing) -> str:
    runs, layer = drawing.runs, drawing.layer
    figure = drawing.over_steps(plots.layer_curves(drawing.spectra, layer, arms=runs.arms))
    data = plots.layer_curve_data(drawing.spectra, layer, arms=runs.arms)
    text = caption(runs.arms, data, drawing.view.at)
    return shown(figure.update_layout(uirevision=f"{runs.key}-{layer}"), text, layer)


CHART: LiveChart = LiveChart(
    Chart("layers", "ΔW in this layer over time", "Effective rank and size of ΔW.", 460, HINT, term="effective-rank"),
    depends,
    _draw,
)
