"""The singular values of ΔW in one layer."""

from collections.abc import Hashable, Sequence

import numpy as np
import pandas as pd

from neatlab import plots
from neatlab.dashboard.shared.live_plot import Chart, shown
from neatlab.dashboard.train.charts import layers
from neatlab.dashboard.train.charts.base import Drawing, LiveChart
from neatlab.dashboard.train.snapshot import each_arm
from neatlab.plots import SpectrumData
from neatlab.runs.run import Run
from neatlab.runs.weights import StoredWeights

TRAILS = 6  # earlier steps that are drawn behind
COLUMNS = ["arm", "seed", "layer", "step", "singular_values"]
HINT = (
    "Each marker is one singular value of ΔW: how strongly the update acts along one direction. All values beyond "
    "the dotted ceiling are exactly 0, for NEAT as for LoRA, at any depth: only the last map leaves the r dimensions. "
    "σᵢ/σ₁ shows the shape without the size; logarithmic axes make small values and many of them readable. Faint lines "
    "are earlier steps; a dashed one is the spectrum of the ΔW to be learnt, which only the task teacher knows."
)


def caption(arms: Sequence[str], data: SpectrumData) -> str:
    """Largest singular values, and the step that they are from."""
    if not data.spectra:
        return "No update of a layer's weight is measured yet."
    largest = {line.arm: line.mean[0] for line in data.spectra}
    steps = set(data.steps.values())
    measured = f"step {steps.pop():,}" if len(steps) == 1 else f"steps {each_arm(arms, data.steps, 0)}"
    return f"{data.layer}, {measured}. Largest singular value: {each_arm(arms, largest, 3)}."


def _depends(drawing: Drawing) -> Hashable:
    return layers.depends(drawing), drawing.stored_weights


def _draw(drawing: Drawing) -> str:
    arms, layer, at, film = drawing.runs.arms, drawing.layer, drawing.view.at, spectra(drawing)
    figure = plots.spectrum(film, layer, at, arms, trails=TRAILS, goal=_goal(drawing))
    figure.update_layout(uirevision=f"{drawing.runs.key}-{layer}")
    return shown(figure, caption(arms, plots.spectrum_data(film, layer, at, arms)), layer)


def spectra(drawing: Drawing) -> pd.DataFrame:
    """The spectra of the layer shown: of each run those that it stored with its weights, which are more, else those of
    its events.
    """
    measured, layer = drawing.spectra, drawing.layer
    filmed = {run.config.arm.label: _filmed(run, stored, layer) for run, stored in _with_layer(drawing)}
    events = measured[(measured["layer"] == layer) & ~measured["arm"].isin(filmed)]
    return pd.concat([events[COLUMNS], *filmed.values()], ignore_index=True)


def _with_layer(drawing: Drawing) -> list[tuple[Run, StoredWeights]]:
    read = zip(drawing.runs.runs, drawing.weights, strict=True)
    return [(run, w) for run, w in read if isinstance(w, StoredWeights) and drawing.layer in w.layers and len(w.steps)]


def _filmed(run: Run, stored: StoredWeights, layer: str | None) -> pd.DataFrame:
    values = list(stored.spectra(str(layer)))
    arm, seed = run.config.arm.label, run.config.seed
    return pd.DataFrame({"arm": arm, "seed": seed, "layer": layer, "step": stored.steps, "singular_values": values})


def _goal(drawing: Drawing) -> list[float]:
    """Singular values of the ΔW to be learnt, where the task knows it."""
    for _, stored in _with_layer(drawing):
        return stored.base(str(drawing.layer)).get("true_sigma", np.zeros(0)).tolist()
    return []


CHART: LiveChart = LiveChart(
    Chart(
        "spectrum", "Spectrum of ΔW", "The singular values of ΔW in one layer.", 270, HINT, scales=True, term="spectrum"
    ),
    _depends,
    _draw,
)
