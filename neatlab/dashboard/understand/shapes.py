"""What the Understand tab opens with: both methods' matrices to one scale, and the sliders that reshape them."""

from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
import orjson

from neatlab import plots
from neatlab.adapters.activations import COMPARED
from neatlab.dashboard.shared.live_plot import Chart, live_plot
from neatlab.dashboard.shared.weights_panel import sketch_methods, weights_panel
from neatlab.dashboard.understand.request import MAX_DEPTH, MAX_SIDE, LayerSizes
from neatlab.runtime.templates import macros

_HTML = macros(__file__)
LAYER, SHAPES, SLIDER = (
    (Path(__file__).parent / name).read_text(encoding="utf-8") for name in ("random_layer.js", "shapes.js", "slider.js")
)
SIDES = ["auto", "out", "in"]
HINT = (
    "Every matrix to one scale, so that a thin one is thin; its thin side is never drawn below a few pixels. ΔW is as "
    "large as W₀ with either method, and is a product of two thin matrices. LoRA trains both of them; NEAT trains the "
    "left one, and makes the right one, H, of W₀ itself. Over the inputs it is the other way round. The numbers are "
    "drawn at random, of a large layer as many as can be seen: green is positive, purple negative, the background "
    "zero, as it is wherever a ReLU has let nothing through. Point at a hidden unit to see what it alone adds to ΔW; "
    "with the keyboard, arrows go from cell to cell."
)
CHART = Chart(
    "shapes",
    "The matrices of both, to scale",
    "The matrices of one layer.",
    300,
    HINT,
    script=weights_panel(LAYER + SHAPES),
)
KEEP_SIZES = """(d_in, d_out, rank, depth, orientation, activation) => {{
  window.neatlabSizes = {{ table: {table}, d_in, d_out, rank, depth, orientation, activation }};
  document.dispatchEvent(new Event("neatlab-sizes"));
}}"""


class Dial(NamedTuple):
    """A number with a slider.

    Args:
        name: The field of `LayerSizes`.
        label: Its label.
        least: Where the slider begins; a side's is in eighths of a doubling.
        most: Where it ends.
        at: Where it stands at the start.
    """

    name: str
    label: str
    least: int
    most: int
    at: int


DIALS = (
    Dial("d_in", "inputs d_in", 24, 112, 64),
    Dial("d_out", "outputs d_out", 24, 112, 48),
    Dial("rank", "rank r", 1, 64, 4),
    Dial("depth", "depth L", 2, 16, 2),
)


def lay_sizes(start: LayerSizes) -> list[Any]:
    """Lay out the pictures and their fields.

    Args:
        start: What the fields hold at the start.

    Returns:
        The fields, in the order of those of `LayerSizes`.
    """
    live_plot(CHART)
    with gr.Row(elem_classes=["dials"]):
        fields: list[Any] = [_lay_dial(dial, getattr(start, dial.name)) for dial in DIALS]
        lists = (("size-side", "orientation", SIDES), ("size-sigma", "activation σ", list(COMPARED)))
        for name, label, choices in lists:
            with gr.Column(min_width=0):
                value = getattr(start, label.split()[0])
                fields.append(gr.Dropdown(choices, value=value, label=label, elem_id=name, min_width=0))
    return fields


def _lay_dial(dial: Dial, value: int) -> gr.Number:
    with gr.Column(min_width=0, elem_id=f"size-{dial.name.replace('_', '-')}", elem_classes=["dial"]):
        number = gr.Number(value, label=dial.label, precision=0, min_width=0)
        slider = _HTML.slider(dial.name, dial.label, dial.least, dial.most, dial.at)
        gr.HTML(slider, js_on_load=SLIDER, apply_default_css=False)
    return number


def keep_sizes() -> str:
    """The script that hands the fields to the pictures and the sliders, in the browser alone."""
    methods = {name: row for name, row in sketch_methods().items() if name in ("lora", "neat")}
    curves = {name: _curve(name) for name in COMPARED}
    table = {"methods": methods, "curves": curves, "sides": MAX_SIDE, "depths": MAX_DEPTH}
    return KEEP_SIZES.format(table=orjson.dumps(table).decode())


def _curve(activation: str) -> dict[str, Any]:
    """σ at even distances, of which the pictures' numbers are made."""
    data = plots.function_data(activation)
    values = [round(value, 4) for value in data.y]
    return {"from": data.x[0], "step": data.x[1] - data.x[0], "values": values}
