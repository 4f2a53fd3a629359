"""The Inspect tab: open a run, an upload or a folder, and see what it did to the weights."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import gradio as gr

from neatlab.dashboard.inspect import view
from neatlab.dashboard.inspect.acts_part import Acting, ActsPart
from neatlab.dashboard.inspect.form import RAW, OpenForm
from neatlab.dashboard.inspect.link import InspectLink
from neatlab.dashboard.inspect.request import (
    FIELDS,
    FOLDER,
    RUN,
    UPLOAD,
    InspectionProgress,
    InspectionResult,
    InspectOrder,
)
from neatlab.dashboard.inspect.results import Results
from neatlab.dashboard.inspect.scale import ScalePart, Scaling
from neatlab.dashboard.shared.context import FORGET_SECONDS, Context, Windows
from neatlab.dashboard.shared.download_folder import DownloadFolder
from neatlab.dashboard.shared.entries import INSPECT
from neatlab.dashboard.shared.field_error import FieldError
from neatlab.dashboard.shared.follow import follow, queue_text, stopping
from neatlab.dashboard.shared.html import field_messages, plural, status
from neatlab.dashboard.shared.job import Job
from neatlab.dashboard.shared.tab import LONG, UNCHECKED, Tab
from neatlab.errors import NeatlabError
from neatlab.runs.run import Run

INVITATION = status("Choose what to open and press Inspect.")
FOLDER_SECONDS = 1800.0  # that to inspect a folder may take: whoever starts the server says which there are
KIND_FIELDS = {RUN: "run", UPLOAD: "upload", FOLDER: "folder"}


@dataclass
class InspectWindow:
    """What one browser window has open.

    Args:
        files: Its files.
        job: Its process, while there is one.
        opened: What was asked for.
        result: What was measured of it.
        run: The run that is open; None for an upload or a folder.
        wanted: A run that the window's link asks for and the one to compare it with, not opened yet.
        refusal: Why the last one could not be opened.
        scaling: The slider's part.
        acting: What was done to it.
        turn: How often something else was to be shown.
    """

    files: DownloadFolder = field(default_factory=DownloadFolder)
    job: Job | None = None
    opened: InspectOrder | None = None
    result: InspectionResult | None = None
    run: Run | None = None
    wanted: tuple[str, str | None] | None = None
    refusal: FieldError | None = None
    scaling: Scaling = field(default_factory=Scaling)
    acting: Acting = field(default_factory=Acting)
    turn: int = 0

    @property
    def shown(self) -> InspectionResult | None:
        """The adapter as it was opened, or before and after what was done to it."""
        return self.acting.result.inspection if self.acting.result else self.result


class InspectTab(Tab[InspectLink]):
    """The form on the left, what was measured on the right, acts and the causal slider below."""

    name: ClassVar[str] = "inspect"
    title: ClassVar[str] = "Inspect"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._windows: Windows[InspectWindow] = Windows(InspectWindow)
        holder = gr.context.Context.block
        with gr.Row(elem_classes=["lab"]):
            with gr.Column(scale=1, min_width=280, elem_classes=["settings"]), gr.Group(elem_classes=["run"]):
                self._opening = OpenForm(context, holder)
            with gr.Column(scale=3, min_width=320, elem_classes=["results"]):
                self._results = Results(INVITATION)
                self._acts = ActsPart(context, self._windows.get)
                self._results.lay_table()
        self._scale = ScalePart(context, self._windows.get)
        self._turn = gr.State(0, time_to_live=FORGET_SECONDS)  # changes when there is something else to show
        self.fields = {"inspect": self._opening.run, "inspect_other": self._opening.other}

    def connect(self, demo: gr.Blocks) -> None:
        """Attach the handlers. Gradio checks no values: the orders say what is wrong next to the control."""
        long = LONG | UNCHECKED | {"concurrency_id": self.name}  # in the order of the calls
        form, results = self._opening.inputs, self._results
        followed = [*self._opening.messages, results.status, results.start, self._turn]
        self._opening.connect()
        results.start.click(self._begin, form, followed, **long)
        self.restored = [(self._restore, form, followed, long)]
        self._turn.change(self._show, None, [*results.shown, *self._acts.shown, *self._scale.shown], **RAW)
        results.connect(lambda request: self._windows.get(request.session_hash).shown)
        self._acts.connect(self._turn)
        self._scale.connect()
        demo.unload(self._close)

    def read_link(self, link: InspectLink, session: str | None) -> list[Any]:
        """A link to this tab opens its run; one to another tab only fills the field."""
        if not link.inspect:
            return [gr.update(), gr.update()]
        self._windows.get(session).wanted = (link.inspect, link.inspect_other) if link.tab == self.name else None
        lists = self._opening.finished(), self._opening.finished(link.inspect)
        values = link.inspect, link.inspect_other or ""
        return [gr.update(choices=choices, value=value) for choices, value in zip(lists, values, strict=True)]

    async def _restore(self, request: gr.Request, *values: Any) -> AsyncIterator[list[Any]]:
        """Open the run that the link asked for, once."""
        window = self._windows.get(request.session_hash)
        wanted, window.wanted = window.wanted, None
        if wanted is None:
            yield self._said(window)
            return
        async for update in self._begin(request, RUN, *wanted, *values[3:]):
            yield update

    async def _begin(self, request: gr.Request, *values: Any) -> AsyncIterator[list[Any]]:
        """Inspect in a process, and follow it."""
        window = self._windows.get(request.session_hash)
        await asyncio.to_thread(self._submit, window, values, request.session_hash)
        if (job := window.job) is not None:
            try:
                with stopping(self.context.jobs, job):
                    async for _ in follow(self.context.jobs, job):
                        yield self._said(window)
            finally:
                _finish(window, job)
        window.turn += 1
        yield self._said(window)

    def _submit(self, window: InspectWindow, values: tuple[Any, ...], session: str | None) -> None:
        """Queue what the form describes, or note why it cannot be opened."""
        if window.job is not None:
            return
        if window.acting.job is not None:
            self.context.jobs.send(window.acting.job, "stop")
        window.refusal, window.result, window.run, window.opened = None, None, None, None
        window.scaling, window.acting = Scaling(), Acting()
        try:
            order, run = self._opening.order(*values)
            target = window.files.new_path("inspection")
            target.mkdir()
            limits: dict[str, Any] = {"visitor": self.context.visitors.of(session)}
            if order.folder:
                limits["seconds"] = FOLDER_SECONDS
            order = order._replace(target=str(target))
            window.job = self.context.jobs.submit(INSPECT, order, brief=True, **limits)
            window.run, window.opened = run, order
        except FieldError as refusal:
            window.refusal = refusal
        except (NeatlabError, OSError) as error:
            window.refusal = FieldError(KIND_FIELDS.get(values[0], "run"), str(error))

    def _said(self, window: InspectWindow) -> list[Any]:
        """Messages, status, button and turn."""
        button = gr.update(interactive=window.job is None)
        return [*field_messages(window.refusal, FIELDS), self._state(window), button, window.turn]

    def _state(self, window: InspectWindow) -> str:
        job = window.job
        if job is None:
            if window.refusal:
                return status(f"Not opened. {window.refusal}")
            return status(_done(window.result), "", 1, 1) if window.result else INVITATION
        if isinstance(job.result, InspectionProgress):
            return status("Measuring.", job.result.layer, job.result.done, job.result.total)
        return status(queue_text(self.context.jobs.position(job), "Opening."))

    def _show(self, request: gr.Request) -> list[Any]:
        """Everything that was measured."""
        window = self._windows.get(request.session_hash)
        return [*self._results.show(window.shown), *self._acts.show(window), *self._scale.show(window)]

    def _close(self, request: gr.Request) -> None:
        if window := self._windows.end(request.session_hash):
            for job in (window.job, window.scaling.job, window.acting.job):
                if job is not None and job.phase != "ended":
                    self.context.jobs.send(job, "stop")
            window.files.close()


def _finish(window: InspectWindow, job: Job) -> None:
    """Note what the process has left."""
    if window.job is not job:
        return
    window.job = None
    if isinstance(job.result, InspectionResult):
        window.result = job.result
        return
    field = job.refusal.field if job.refusal and job.refusal.field in FIELDS else "run"
    window.refusal = FieldError(field, str(job.refusal or "it was stopped; press Inspect again"))


def _done(result: InspectionResult) -> str:
    return f"Done: {' and '.join(result.titles)}, {plural(len(view.layers(result)), 'layer')}."
