"""The Inspect tab: open a run, an upload or a folder, and see what it did to the weights."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import gradio as gr

from neatlab.dashboard.inspect import view
from neatlab.dashboard.inspect.form import RAW, OpenForm, said
from neatlab.dashboard.inspect.request import FOLDER, PLACES, RUN, UPLOAD, Found, Place, Progress, Refused
from neatlab.dashboard.inspect.scale import ScalePart, Scaling
from neatlab.dashboard.shared.context import FORGET, Context, Windows
from neatlab.dashboard.shared.entries import INSPECT
from neatlab.dashboard.shared.html import status
from neatlab.dashboard.shared.jobs import Job
from neatlab.dashboard.shared.links import Link
from neatlab.dashboard.shared.live_plot import Chart, live_plot
from neatlab.dashboard.shared.shelf import Shelf
from neatlab.dashboard.shared.tab import Tab
from neatlab.errors import NeatlabError
from neatlab.runs.run import Run

PULSE = 0.25  # seconds between two looks at an inspection
INVITATION = status("Choose what to open and press Inspect.")
KIND_PLACES: dict[Any, Place] = {RUN: "run", UPLOAD: "upload", FOLDER: "folder"}
CHARTS = {  # name → title, what stands in its place
    "spectrum": ("Singular values of ΔW", "The spectrum of one layer."),
    "energy": ("Energy", "How many directions hold ΔW."),
    "profile": ("Over the layers", "Where the change is."),
    "intruders": ("Intruder dimensions", "Needs the base: new leading directions of W₀ + ΔW."),
    "overlap": ("Overlap with W₀", "Needs the base: what ΔW writes to and reads from."),
    "angles": ("Principal angles", "Needs a second run: what the two share."),
}
TALL = ("overlap", "angles")  # two panels
HINTS = {
    "spectrum": (
        "Each marker is one singular value of ΔW: how strongly it acts along one direction. Nothing lies beyond the "
        "dotted ceiling. A steep fall means that fewer directions would have done."
    ),
    "energy": "How much of ‖ΔW‖² the leading directions hold together. Beyond 90 % there is little.",
    "profile": "The layers in the model's order. A layer far above the others carries the change; one at 0 is idle.",
    "overlap": (
        "1 when ΔW works in W₀'s own leading directions, the dotted line when it works in random ones. NEAT takes one "
        "side from W₀, LoRA neither."
    ),
    "intruders": "Directions that are strong in W₀ + ΔW and new to it. They go with forgetting.",
    "angles": "Two adapters that found the same directions start at 0°; two that share nothing lie on the dotted line.",
}


@dataclass
class Window:
    """What one browser window has open.

    Args:
        shelf: Its files.
        job: Its process, while there is one.
        found: What is shown.
        run: The run that is shown; None for an upload or a folder.
        wanted: A run that the window's link asks for, not opened yet.
        refusal: Why the last one could not be opened.
        scaling: The slider's part.
        turn: How often something else was to be shown.
    """

    shelf: Shelf = field(default_factory=Shelf)
    job: Job | None = None
    found: Found | None = None
    run: Run | None = None
    wanted: str | None = None
    refusal: Refused | None = None
    scaling: Scaling = field(default_factory=Scaling)
    turn: int = 0


class InspectTab(Tab):
    """The form on the left, what was found on the right, the causal slider below."""

    name: ClassVar[str] = "inspect"
    title: ClassVar[str] = "Inspect"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._windows: Windows[Window] = Windows(Window)
        holder = gr.context.Context.block
        with gr.Row(elem_classes=["lab"]):
            with gr.Column(scale=1, min_width=280, elem_classes=["settings"]), gr.Group(elem_classes=["run"]):
                self._opening = OpenForm(context, holder)
            with gr.Column(scale=3, min_width=320, elem_classes=["results"]):
                self._lay_results()
        self._scale = ScalePart(context, self._windows.get)
        self._turn = gr.State(0, time_to_live=FORGET)  # changes when there is something else to show
        self.fields = {"inspect": self._opening.run}

    def _lay_results(self) -> None:
        with gr.Row(elem_classes=["inspect-actions"]):
            self._start = gr.Button("Inspect", variant="primary", elem_id="inspect-start", min_width=110)
            self._json = gr.DownloadButton("JSON", interactive=False, elem_id="inspect-json", min_width=90)
            self._report = gr.DownloadButton("HTML report", interactive=False, elem_id="inspect-report", min_width=110)
        self._status = gr.HTML(INVITATION, elem_id="inspect-status", apply_default_css=False)
        self._verdict = gr.HTML(view.NOTHING, elem_id="inspect-verdict", apply_default_css=False)
        with gr.Row(elem_classes=["inspect-choices"]):
            self._layer = gr.Dropdown([], label="layer", elem_id="inspect-layer", interactive=True)
            self._quantity = gr.Dropdown([], label="over the layers", elem_id="inspect-quantity", interactive=True)
        self._charts = {}
        with gr.Row(elem_classes=["charts"]):
            for name, (title, empty) in CHARTS.items():
                height = 420 if name in TALL else 300
                self._charts[name] = live_plot(Chart(f"inspect-{name}", title, empty, height, HINTS[name]))
        self._table = gr.HTML(view.NO_TABLE, elem_id="inspect-table", apply_default_css=False)

    @property
    def _shown(self) -> list[Any]:
        """What an inspection changes, in the order of `_show`."""
        page = [self._verdict, self._table, self._layer, self._quantity, self._json, self._report]
        return [*page, *self._charts.values(), *self._scale.shown]

    def connect(self, demo: gr.Blocks) -> None:
        """Attach the handlers. Gradio checks no values: the orders say what is wrong beside the control."""
        long: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}
        long |= {"preprocess": False}
        form, followed = self._opening.inputs, [*self._opening.messages, self._status, self._start, self._turn]
        self._opening.connect()
        self._start.click(self._begin, form, followed, **long)
        self.restored = [(self._restore, form, followed, long)]
        self._turn.change(self._show, None, self._shown, **RAW)
        chosen = [self._charts[name] for name in ("spectrum", "energy", "angles")]
        self._layer.input(self._draw_layer, self._layer, chosen, **RAW)
        self._quantity.input(self._draw_profile, self._quantity, self._charts["profile"], **RAW)
        self._scale.connect()
        demo.unload(self._close)

    def read_link(self, link: Link, window: str | None) -> list[Any]:
        """A link to this tab opens its run; one to another tab only fills the field."""
        if not link.inspect:
            return [gr.update()]
        self._windows.get(window).wanted = link.inspect if link.tab == self.name else None
        return [gr.update(choices=self._opening.finished(), value=link.inspect)]

    async def _restore(self, request: gr.Request, *values: Any) -> AsyncIterator[list[Any]]:
        """Open the run that the link asked for, once."""
        window = self._windows.get(request.session_hash)
        wanted, window.wanted = window.wanted, None
        if wanted is None:
            yield self._said(window)
            return
        async for update in self._begin(request, RUN, wanted, None, *values[3:]):
            yield update

    async def _begin(self, request: gr.Request, *values: Any) -> AsyncIterator[list[Any]]:
        """Inspect in a process, and follow it."""
        window = self._windows.get(request.session_hash)
        await asyncio.to_thread(self._submit, window, values)
        if (job := window.job) is not None:
            try:
                while job.phase != "ended":
                    job.look()
                    yield self._said(window)
                    await asyncio.sleep(PULSE)
            finally:
                self._take(window, job)
        window.turn += 1
        yield self._said(window)

    def _submit(self, window: Window, values: tuple[Any, ...]) -> None:
        """Queue what the form describes, or note why it cannot be opened."""
        if window.job is not None:
            return
        window.refusal, window.found, window.run, window.scaling = None, None, None, Scaling()
        try:
            order, run = self._opening.order(*values)
            target = window.shelf.place("inspection")
            target.mkdir()
            window.job, window.run = (
                self.context.jobs.submit(INSPECT, order._replace(target=str(target)), brief=True),
                run,
            )
        except Refused as refusal:
            window.refusal = refusal
        except (NeatlabError, OSError) as error:
            window.refusal = Refused(KIND_PLACES.get(values[0], "run"), str(error))

    def _take(self, window: Window, job: Job) -> None:
        """What the process left behind; one that nobody follows any more is stopped."""
        if job.phase != "ended":
            self.context.jobs.tell(job, "stop")
        if window.job is not job:
            return
        window.job = None
        if isinstance(job.result, Found):
            window.found = job.result
        else:
            part: Any = job.refusal.part if job.refusal else "run"
            place: Place = part if part in PLACES else "run"
            window.refusal = Refused(place, str(job.refusal or "it was stopped; press Inspect again"))

    def _said(self, window: Window) -> list[Any]:
        """Messages, status, button and turn."""
        button = gr.update(interactive=window.job is None)
        return [*said(window.refusal), self._state(window), button, window.turn]

    def _state(self, window: Window) -> str:
        job = window.job
        if job is None:
            if window.refusal:
                return status(f"Not opened. {window.refusal}")
            return status(_done(window.found), "", 1, 1) if window.found else INVITATION
        if isinstance(job.result, Progress):
            return status("Measuring.", job.result.layer, job.result.done, job.result.total)
        place = self.context.jobs.place(job)
        return status(f"Waiting for a free place: number {place} in the queue." if place else "Opening.")

    def _show(self, request: gr.Request) -> list[Any]:
        """Everything that an inspection found."""
        window = self._windows.get(request.session_hash)
        found = window.found
        layer, names, known = view.largest(found), view.layers(found), view.quantities(found)
        quantity = next((name for name in ("relative_norm", "norm") for _, own in known if own == name), None)
        drawn = {
            "spectrum": view.spectrum(found, layer),
            "energy": view.energy(found, layer),
            "profile": view.profile(found, quantity),
            "intruders": view.intruders(found),
            "overlap": view.overlap(found),
            "angles": view.angles(found, layer),
        }
        return [
            view.verdict(found),
            view.table(found),
            gr.update(choices=names, value=layer),
            gr.update(choices=known, value=quantity),
            gr.update(value=found and found.json, interactive=found is not None),
            gr.update(value=found and found.report, interactive=found is not None),
            *(drawn[name] for name in CHARTS),
            *self._scale.show(window),
        ]

    def _draw_layer(self, layer: Any, request: gr.Request) -> list[Any]:
        found = self._windows.get(request.session_hash).found
        at = layer if layer in view.layers(found) else view.largest(found)
        return [view.spectrum(found, at), view.energy(found, at), view.angles(found, at)]

    def _draw_profile(self, quantity: Any, request: gr.Request) -> str | None:
        found = self._windows.get(request.session_hash).found
        known = [name for _, name in view.quantities(found)]
        return view.profile(found, quantity if quantity in known else next(iter(known), None))

    def _close(self, request: gr.Request) -> None:
        if window := self._windows.end(request.session_hash):
            for job in (window.job, window.scaling.job):
                if job is not None and job.phase != "ended":
                    self.context.jobs.tell(job, "stop")
            window.shelf.close()


def _done(found: Found) -> str:
    count = len(view.layers(found))
    return f"Done: {' and '.join(one.title for one in found.adapters)}, {count} layer{'s' * (count != 1)}."
