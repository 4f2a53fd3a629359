"""The singular values of ΔW in one layer."""

from collections.abc import Sequence

from neatlab import plots
from neatlab.dashboard.shared.live_plot import Chart, shown
from neatlab.dashboard.train.charts import layers
from neatlab.dashboard.train.charts.base import Drawing, LiveChart
from neatlab.dashboard.train.snapshot import each_arm
from neatlab.plots import SpectrumData

HINT = (
    "Each marker is one singular value of ΔW: how strongly the update acts along one direction. All values beyond "
    "the dotted ceiling are exactly 0, for NEAT as for LoRA, at any depth: only the last map leaves the r dimensions. "
    "σᵢ/σ₁ shows the shape without the size; logarithmic axes make small values and many of them readable."
)


def caption(arms: Sequence[str], data: SpectrumData) -> str:
    """Largest singular values, and the step that they are from."""
    if not data.spectra:
        return "No arm changes a layer's weight."
    largest = {line.arm: line.mean[0] for line in data.spectra}
    steps = set(data.steps.values())
    measured = f"step {steps.pop():,}" if len(steps) == 1 else f"steps {each_arm(arms, data.steps, 0)}"
    return f"{data.layer}, {measured}. Largest singular value: {each_arm(arms, largest, 3)}."


def _draw(drawing: Drawing) -> str:
    arms, layer, at = drawing.runs.arms, drawing.layer, drawing.view.at
    figure = plots.spectrum(drawing.spectra, layer, at, arms).update_layout(uirevision=f"{drawing.runs.key}-{layer}")
    return shown(figure, caption(arms, plots.spectrum_data(drawing.spectra, layer, at, arms)), layer)


CHART = LiveChart(
    Chart("spectrum", "Spectrum of ΔW", "The singular values of ΔW in one layer.", 270, HINT, scales=True),
    layers.depends,
    _draw,
)
