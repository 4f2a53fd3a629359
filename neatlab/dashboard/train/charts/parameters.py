"""Trainable parameters of each arm."""

from collections import Counter
from collections.abc import Hashable, Sequence

from neatlab import plots
from neatlab.adapters.methods import METHODS
from neatlab.dashboard.shared.live_plot import Chart, shown
from neatlab.dashboard.train.charts.base import Drawing, LiveChart
from neatlab.dashboard.train.snapshot import started
from neatlab.plots.looks import looks
from neatlab.runs.run import Run

HINT = (
    "What each arm trains. On a square layer equal rank means equal parameters. On a wide one NEAT maps over the "
    "shorter side with orientation auto, and so gets more rank for the same budget."
)
SYMBOLS = {"r": "rank", "L": "depth"}  # in the formulas → option


def caption(arms: Sequence[str], runs: Sequence[Run]) -> str:
    """Each arm's count with its formula and the layers' shapes put in."""
    return " ".join(_formula(looks(arms)[run.config.arm.label].name, run) for run in runs)


def _formula(name: str, run: Run) -> str:
    event, options = started(run), run.config.arm.options
    if not event:
        return ""
    shapes = Counter(tuple(shape) for shape in event["layers"].values())
    layers = " and ".join(f"{count} of {d_out} × {d_in}" for (d_out, d_in), count in shapes.items())
    adapter, head = event["adapter_params"], event["trainable_params"] - event["adapter_params"]
    values = [f"{symbol} = {options[option]}" for symbol, option in SYMBOLS.items() if option in options]
    formula = ", ".join([f"{METHODS[run.config.arm.method].count} a layer", *values])
    return f"{name}: {formula}; layers (out × in): {layers}: {adapter:,}; head {head:,}."


def _depends(drawing: Drawing) -> Hashable:
    return drawing.runs.key, len(drawing.runs.counts.dropna())


def _draw(drawing: Drawing) -> str:
    runs = drawing.runs
    figure = plots.parameter_counts(runs.counts, runs.arms).update_layout(uirevision=runs.key)
    return shown(figure, caption(runs.arms, runs.runs))


CHART: LiveChart = LiveChart(
    Chart("parameters", "Trainable parameters", "Adapter and head of each arm.", 200, HINT, term="budget"),
    _depends,
    _draw,
)
