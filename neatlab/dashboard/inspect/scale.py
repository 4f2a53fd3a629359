"""The causal slider: scale a part of ΔW down and see what the task and the base's task lose."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Protocol

import gradio as gr

from neatlab.dashboard.inspect import view
from neatlab.dashboard.inspect.form import RAW
from neatlab.dashboard.inspect.request import PARTS, WHOLE, InspectionResult, ScalingCurve, order_scale, small_tasks
from neatlab.dashboard.shared.context import Context
from neatlab.dashboard.shared.entries import SCALE
from neatlab.dashboard.shared.field_error import FieldError
from neatlab.dashboard.shared.follow import follow, stopping
from neatlab.dashboard.shared.html import doing, mistake
from neatlab.dashboard.shared.in_order import in_order
from neatlab.dashboard.shared.job import Job
from neatlab.dashboard.shared.live_plot import Chart, live_plot
from neatlab.dashboard.shared.tab import LONG, UNCHECKED, message_slot
from neatlab.errors import BadInput
from neatlab.runs.run import Run

STEP = 0.25  # between the factors that are measured
HINT = (
    "If the task's curve hardly moves, the direction was not needed. If the base's rises towards factor 0, it was what "
    "made the model forget. Measured on validation data, at five factors."
)


@dataclass
class Scaling:
    """One window's slider.

    Args:
        job: Its process, while there is one.
        curve: What was measured.
    """

    job: Job | None = None
    curve: ScalingCurve | None = None


class OpenInspection(Protocol):
    """A window with a run open."""

    result: InspectionResult | None
    run: Run | None
    scaling: Scaling


class ScalePart:
    """The slider below an inspection.

    Args:
        context: What the tabs share.
        windows: Session hash → the window.
    """

    def __init__(self, context: Context, windows: Callable[[str | None], OpenInspection]) -> None:
        self._context, self._windows = context, windows
        gr.HTML(view.ABOUT_SCALING, apply_default_css=False, elem_classes=["inspect-about"])
        with gr.Row(elem_classes=["inspect-scale"]):
            self._part = gr.Radio(list(PARTS.items()), value="direction", label="part of ΔW", elem_id="scale-part")
            self._index = gr.Number(1, label="direction i", precision=0, elem_id="scale-index", min_width=90)
            self._layer = gr.Dropdown([WHOLE], value=WHOLE, label="where", elem_id="scale-layer", interactive=True)
            self._start = gr.Button("Measure", elem_id="scale-start", interactive=False, min_width=110)
        self._message = message_slot("inspect-message-scale")
        self._note = gr.HTML(_note(None), elem_id="scale-note", apply_default_css=False)
        self._slider = gr.Slider(
            0, 1, value=1, step=STEP, label="factor", elem_id="scale-factor", interactive=False, buttons=[]
        )
        self._said = gr.HTML("", elem_id="scale-said", apply_default_css=False)
        self._chart = live_plot(Chart("scale-chart-box", "Task and base over the factor", "Measured here.", 380, HINT))

    @property
    def shown(self) -> list[Any]:
        """What an inspection changes, in the order of `show`."""
        return [self._layer, self._start, self._note, *self._measured]

    @property
    def _measured(self) -> list[Any]:
        return [self._slider, self._said, self._chart]

    def show(self, window: OpenInspection) -> list[Any]:
        """Offer what there is of the run that is open."""
        possible = window.run is not None and window.result is not None and window.run.config.spec.row.is_small
        names = [WHOLE, *view.layers(window.result)]
        return [
            gr.update(choices=names, value=WHOLE),
            gr.update(interactive=possible),
            _note(window),
            *self._results(window, 1.0),
        ]

    def connect(self) -> None:
        """Attach the handlers."""
        self._start.click(
            self._measure,
            [self._part, self._index, self._layer],
            [self._message, self._start, self._note, *self._measured],
            **UNCHECKED,
            **LONG,
        )
        self._slider.input(
            in_order(self._slide),
            self._slider,
            [self._message, self._said, self._chart],
            trigger_mode="always_last",
            **RAW,
        )
        self._part.input(lambda part: gr.update(interactive=part == "direction"), self._part, self._index, **RAW)

    async def _measure(self, request: gr.Request, part: Any, index: Any, layer: Any) -> AsyncIterator[list[Any]]:
        """Measure in a process, and wait for it."""
        window = self._windows(request.session_hash)
        scaling = window.scaling
        try:
            if scaling.job is not None:
                raise FieldError("scale", "a measurement of this window is not done; wait for it")
            visitor = self._context.visitors.of(request.session_hash)
            order = order_scale(window.run, window.result, part, index, layer)
            scaling.job = job = self._context.jobs.submit(SCALE, order, brief=True, visitor=visitor)
        except BadInput as error:
            yield [mistake(str(error)), gr.update(), _note(window), *self._results(window, 1.0)]
            return
        try:
            with stopping(self._context.jobs, job):
                async for position in follow(self._context.jobs, job):
                    text = "Waiting for a free place." if position else "Measuring at five factors."
                    yield ["", gr.update(interactive=False), doing(text), *self._results(window, 1.0)]
        finally:
            scaling.job = None
        scaling.curve = job.result if isinstance(job.result, ScalingCurve) else None
        message = "" if scaling.curve else mistake(str(job.refusal or "it was stopped; press Measure again"))
        yield [message, gr.update(interactive=True), _note(window), *self._results(window, 1.0)]

    def _results(self, window: OpenInspection, at: float) -> list[Any]:
        curve = window.scaling.curve
        return [gr.update(value=at, interactive=curve is not None), view.scaled(curve, at), view.scaling(curve, at)]

    def _slide(self, at: Any, request: gr.Request) -> list[Any]:
        curve = self._windows(request.session_hash).scaling.curve
        try:
            factor, message = view.factor(at), ""
        except BadInput as error:
            factor, message = 1.0, mistake(str(error))
        return [message, view.scaled(curve, factor), view.scaling(curve, factor)]


def _note(window: OpenInspection | None) -> str:
    if window is None or window.run is None or window.result is None:
        return doing(f"Open a finished run of {', '.join(small_tasks())} above.")
    if not window.run.config.spec.row.is_small:
        return doing(f"For runs of {', '.join(small_tasks())}: their models are measured again within seconds.")
    if window.scaling.curve is None:
        return doing(f"Of {window.result.adapters[0].title}: choose a part and press Measure.")
    return ""
