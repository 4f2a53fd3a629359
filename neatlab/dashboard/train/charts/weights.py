"""The weights of one layer as heat maps to scale: W₀, and of each arm what makes ΔW, at the step on the slider."""

import math
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

from neatlab.adapters.methods import METHODS
from neatlab.analysis.weight_frames import Kind
from neatlab.dashboard.shared.choices import task_choices
from neatlab.dashboard.shared.live_plot import Chart, shown_script
from neatlab.dashboard.shared.weights_panel import sketch_methods, weights_panel
from neatlab.dashboard.train.charts.base import Drawing, LiveChart
from neatlab.dashboard.train.charts.weights_data import DIRECTIONS, ArmWeights, LayerWeights, cosine
from neatlab.plots.looks import Look, looks
from neatlab.runs.weights import StoredWeights
from neatlab.runtime.numbers import is_known, number
from neatlab.tasks import TaskSpec

HINT = (
    "Every matrix to one scale, so that a thin one is thin; its thin side is never drawn below a few pixels. Green is "
    "positive, purple negative, the background zero; the colour grows with the 0.6th power of a value. All ΔW share "
    "one scale, and so does their difference; every other matrix has its own. Point at a cell to see its row and "
    "column in all matrices, at a hidden unit or a bar of σ to see what that alone adds to ΔW; with the keyboard, "
    "arrows go from cell to cell, Page Up and Page Down from one singular direction to the next, Esc back. Of large "
    "layers a cell is the mean of a block."
)
FORM = (Path(__file__).parent / "weights_form.js").read_text(encoding="utf-8")
NO_LAYERS = "{} changes no layer."
NO_ROOM = "{} did not store this layer. {}"


def caption(data: LayerWeights) -> str:
    """Layer, step and size of each ΔW, and how alike two are."""
    d_out, d_in = data.shape
    stored = [arm for arm in data.arms if arm.kind]
    steps = list(dict.fromkeys(arm.step for arm in stored))
    at = f"step {steps[0]:,}" if len(steps) == 1 else f"steps {', '.join(f'{step:,}' for step in steps)}"
    norms = "; ".join(f"{arm.name}: {number(arm.norm, 3)}" for arm in stored)
    compared = [data.arms[index] for index in data.compared]
    alike = cosine(*compared) if compared else math.nan
    words = [f"{data.layer}, {d_out:,} × {d_in:,}, {at}. ‖ΔW‖: {norms}."] if stored else []
    words += [f"Cosine of the two ΔW: {alike:.2f}."] if is_known(alike) else []
    words += [arm.note for arm in data.arms if arm.note]
    return " ".join(dict.fromkeys(words))


def text(data: LayerWeights) -> str:
    """The panel for those who do not see it."""
    d_out, d_in = data.shape
    known = " The ΔW to be learnt is drawn beside them." if "true" in data.base else ""
    return f"W₀ of {d_out:,} rows and {d_in:,} columns.{known} " + " ".join(map(_arm_text, data.arms))


def _arm_text(arm: ArmWeights) -> str:
    if arm.kind is None:
        return arm.note
    names = {"left": arm.labels[0], "right": arm.labels[1], "first": "Θ₁ᵀ", "before": "H before σ"}
    shapes = [f"{names[part]} {m.shape[0]:,} × {m.shape[1]:,}" for part, m in arm.parts.items() if part in names]
    sigma = ", ".join(f"{value:.3g}" for value in arm.parts["sigma"][:DIRECTIONS])
    made = f"ΔW of {' and '.join(shapes)}" if shapes else "ΔW, which has no thin factors"
    return f"{arm.name} at step {arm.step:,}: {made}; its singular values {sigma}."


def _depends(drawing: Drawing) -> Hashable:
    return drawing.stored_weights, drawing.layer, drawing.arm, drawing.view.at


def _draw(drawing: Drawing) -> str | None:
    """Empty before the first event."""
    data = layer_weights(drawing)
    return None if data is None else shown_script(data.encoded(text(data)), caption(data))


def layer_weights(drawing: Drawing) -> LayerWeights | None:
    """The weights of the layer shown; None before there is any."""
    layer, shown = drawing.layer, looks(drawing.runs.arms)
    if layer is None:
        return None
    read = list(zip(drawing.runs.runs, drawing.weights, strict=True))
    base = next((stored for _, stored in read if isinstance(stored, StoredWeights) and layer in stored.layers), None)
    arms = [
        _arm(shown[run.config.arm.label], run.config.arm.method, stored, layer, drawing.view.at) for run, stored in read
    ]
    compared = _compared([run.config.arm.label for run, _ in read], arms, drawing.arm)
    shape, matrices = (base.shapes[layer], base.base(layer)) if base else ((0, 0), {})
    return LayerWeights(layer, shape, matrices, arms, compared)


def _arm(look: Look, method: str, stored: StoredWeights | str, layer: str, at: int | None) -> ArmWeights:
    if isinstance(stored, str):
        return ArmWeights(look.name, look.colour, None, note=stored.format(look.name))
    index = stored.index_at(at)
    if layer not in stored.layers or index is None:
        note = NO_ROOM.format(look.name, stored.note) if stored.note else NO_LAYERS.format(look.name)
        return ArmWeights(look.name, look.colour, None, note=note)
    parts = stored.frame(index, layer)
    kind = stored.kinds[layer]
    return ArmWeights(look.name, look.colour, kind, int(stored.steps[index]), parts, stored.note, _labels(method, kind))


def _labels(method: str, kind: Kind) -> tuple[str, str]:
    """Names of the left and the right factor; a network over the inputs makes the left one."""
    last, hidden = METHODS[method].factors or ("", "")
    return (hidden, last.removesuffix("ᵀ")) if kind == "in" else (last, hidden)


def sketch_table() -> dict[str, Any]:
    """What the shapes of a form's arms follow from: method → how it makes ΔW and looks, task → (d_out, d_in)."""
    tasks = {text: TaskSpec.parse(text) for text in task_choices().values()}
    # Not parsed: the page also opens where a task's model is not installed.
    shapes = {text: spec.row.layer_shape(spec.row.options.model_validate(spec.options)) for text, spec in tasks.items()}
    return {
        "methods": sketch_methods(),
        "tasks": {text: shape for text, shape in shapes.items() if shape},
    }


def _compared(labels: Sequence[str], arms: Sequence[ArmWeights], chosen: str | None) -> tuple[int, ...]:
    """The chosen arm and the first other one that have a ΔW; else none."""
    stored = [index for index, arm in enumerate(arms) if arm.kind]
    second = next((index for index in stored if labels[index] == chosen), None)
    first = next((index for index in stored if index != second), None)
    return () if first is None or second is None else (first, second)


CHART: LiveChart = LiveChart(
    Chart(
        "weights",
        "Weights",
        "The matrices of one layer.",
        270,
        HINT,
        script=weights_panel(FORM),
        term="weights",
    ),
    _depends,
    _draw,
)
