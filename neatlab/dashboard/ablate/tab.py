"""The Ablate tab: depth × activation × seeds as a sweep that one can watch, stop and resume."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import gradio as gr

from neatlab.adapters.activations import COMPARED
from neatlab.dashboard.ablate.form import SweepForm
from neatlab.dashboard.ablate.link import AblateLink
from neatlab.dashboard.ablate.request import DEPTHS, FIELDS, SweepOrder, chosen
from neatlab.dashboard.ablate.verdict import NO_VERDICT
from neatlab.dashboard.ablate.view import (
    EMPTY,
    INTRO,
    INVITATION,
    SweepCharts,
    SweepSnapshot,
    command,
    doing,
    draw_sweep,
    read_sweep,
    resting,
    run_count,
    status,
)
from neatlab.dashboard.shared.choices import task_choices
from neatlab.dashboard.shared.context import Context, Windows
from neatlab.dashboard.shared.entries import SWEEP
from neatlab.dashboard.shared.field_error import FieldError
from neatlab.dashboard.shared.follow import follow
from neatlab.dashboard.shared.html import field_messages
from neatlab.dashboard.shared.job import Job
from neatlab.dashboard.shared.live_plot import Chart, live_plot
from neatlab.dashboard.shared.tab import LIGHT, LONG, UNCHECKED, Tab
from neatlab.errors import NeatlabError
from neatlab.tasks import TaskSpec

POLL_SECONDS = 0.5  # between two looks at a sweep

Known = tuple[SweepSnapshot | None, SweepCharts]  # a sweep's runs, and what was drawn of them


@dataclass
class AblateWindow:
    """What one browser window shows.

    Args:
        asked: The sweep that the form describes; None where it cannot be run.
        order: The sweep in the charts: the one that runs, else the one that was asked for last.
        job: Its process, while there is one.
        refusal: Why what the form describes cannot be run.
        turn: Which of the window's followers may speak: the last one that began.
        closed: Whether the window is gone.
    """

    asked: SweepOrder | None = None
    order: SweepOrder | None = None
    job: Job | None = None
    refusal: FieldError | None = None
    turn: int = 0
    closed: bool = False

    @property
    def busy(self) -> bool:
        """Whether a sweep of this window waits or runs."""
        return self.job is not None and self.job.phase != "ended"


class AblateTab(Tab[AblateLink]):
    """Sweeps from the page."""

    name: ClassVar[str] = "ablate"
    title: ClassVar[str] = "Ablate"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._windows: Windows[AblateWindow] = Windows(AblateWindow)
        gr.HTML(INTRO, apply_default_css=False, elem_classes=["ablate-intro"])
        with gr.Row(elem_classes=["lab"]):
            with gr.Column(scale=1, min_width=300, elem_classes=["settings"]), gr.Group(elem_classes=["run"]):
                self._form = SweepForm()
            with gr.Column(scale=3, min_width=320, elem_classes=["results"]):
                self._lay_results()
        self.fields = self._form.fields

    def _lay_results(self) -> None:
        with gr.Row(elem_classes=["actions"]):
            self._start = gr.Button("Start", variant="primary", elem_id="ablate-start", min_width=90)
            self._stop = gr.Button("Stop", interactive=False, elem_id="ablate-stop", min_width=90)
        self._status = gr.HTML(INVITATION, elem_id="ablate-status", apply_default_css=False)
        self._run_count = gr.HTML("", elem_id="ablate-outlook", apply_default_css=False)
        with gr.Row(elem_classes=["charts"]):
            self._heat = live_plot(
                Chart("ablate-heat", "Depth × activation", "The grid fills here, a cell an arm.", 420)
            )
            self._scores = live_plot(Chart("ablate-scores", "Arms", "Mean and 95 % interval of each arm.", 420))
        self._verdict = gr.HTML(NO_VERDICT, elem_id="ablate-verdict", apply_default_css=False)
        self._command = gr.HTML("", elem_id="ablate-command", apply_default_css=False)

    def read_link(self, link: AblateLink, session: str | None) -> list[Any]:
        if link.depth:
            chosen("depth", link.depth, DEPTHS)
        if link.activation:
            chosen("activation", link.activation, COMPARED)
        return super().read_link(link, session)

    def write_link(self, values: list[Any], session: str | None) -> dict[str, Any]:
        parameters = super().write_link(values, session)
        is_upload = parameters["ablate_task"] in self.context.tasks(session)
        return parameters | ({"ablate_task": None} if is_upload else {})  # it is this window's alone

    def connect(self, demo: gr.Blocks) -> None:
        """Attach the handlers. Gradio checks no values: `SweepOrder.check` says what is wrong next to the field."""
        fields: list[Any] = list(self.fields.values())
        shown: list[Any] = [*self._form.messages.values(), self._run_count, self._command, self._status]
        shown += [self._heat, self._scores, self._verdict, self._start, self._stop]
        long = LONG | UNCHECKED
        # "multiple": a new follower replaces the one before, which would otherwise keep it waiting.
        gr.on(self._form.changed, self._look, fields, shown, trigger_mode="multiple", **long)
        # For a press too: the follower of the press before may still be sending its last words.
        self._start.click(self._begin, fields, shown, trigger_mode="multiple", **long)
        self.restored = [(self._look, fields, shown, long)]
        self.selected = [(self._tasks, self.fields["ablate_task"])]
        self._form.connect()
        self._stop.click(self._end, None, self._stop, **LIGHT)
        demo.unload(self._close)

    async def _look(self, request: gr.Request, *values: Any) -> AsyncIterator[list[Any]]:
        """The form has changed: check it, and where nothing runs in this window, show what the store has of it."""
        window = self._windows.get(request.session_hash)
        await asyncio.to_thread(_ask, window, values, self.context.tasks(request.session_hash))
        if window.asked and not window.busy:
            window.order, window.job = window.asked, self.context.jobs.find(SWEEP, window.asked)
        async for shown in self._follow(window, request):
            yield shown

    async def _begin(self, request: gr.Request, *values: Any) -> AsyncIterator[list[Any]]:
        """Start the sweep, or look at the one that runs."""
        window = self._windows.get(request.session_hash)
        await asyncio.to_thread(self._submit, window, values, request.session_hash)
        async for shown in self._follow(window, request):
            yield shown

    def _submit(self, window: AblateWindow, values: Sequence[Any], session: str | None) -> None:
        """Queue the sweep, unless all its runs are there or someone sweeps it already."""
        _ask(window, values, self.context.tasks(session))
        if window.asked is None:
            return
        try:
            if window.busy and window.order != window.asked:
                raise FieldError("run", "a sweep of this window is not done; stop it first")
            self.context.store.check_writable()
            jobs, job = self.context.jobs, self.context.jobs.find(SWEEP, window.asked)
            if job is None and not read_sweep(window.asked, self.context.store).complete:
                job = jobs.submit(SWEEP, window.asked, owner=window, visitor=self.context.visitors.of(session))
            window.order, window.job = window.asked, job
        except NeatlabError as error:
            window.refusal = error if isinstance(error, FieldError) else FieldError("run", str(error))

    def _tasks(self, request: gr.Request) -> Any:
        """The list of tasks, with what the window has brought."""
        return gr.update(choices=[*task_choices().items(), *self.context.uploaded(request.session_hash)])

    def _end(self, request: gr.Request) -> Any:
        window = self._windows.get(request.session_hash)
        if window.job and window.busy and window.job.owned_by(window):
            self.context.jobs.send(window.job, "stop")
        return gr.update(interactive=False)

    def _close(self, request: gr.Request) -> None:
        """The window is gone; its sweep goes on for a little while, for it may only be loaded again."""
        if window := self._windows.end(request.session_hash):
            window.turn += 1
            window.closed = True

    async def _follow(self, window: AblateWindow, request: gr.Request) -> AsyncIterator[list[Any]]:
        """Show the window's sweep until its process has ended, or another follower takes over."""
        window.turn += 1
        turn = window.turn
        known: Known = (None, EMPTY)
        if window.job:
            async for _ in follow(self.context.jobs, window.job, seconds=POLL_SECONDS):
                if window.turn != turn:
                    return
                known = await asyncio.to_thread(self._read, window, known)
                self._windows.touch(request.session_hash)
                yield self._shown(window, known)
        if window.turn == turn:
            yield self._shown(window, await asyncio.to_thread(self._read, window, known))

    def _read(self, window: AblateWindow, before: Known) -> Known:
        """What the store has of the window's sweep now, drawn anew only where a run has ended."""
        if window.order is None:
            return None, EMPTY
        old = before[0] if before[0] and before[0].order == window.order else None
        seen = read_sweep(window.order, self.context.store, old)
        return seen, before[1] if old and old.ended.keys() == seen.ended.keys() else draw_sweep(seen)

    def _shown(self, window: AblateWindow, known: Known) -> list[Any]:
        seen, charts = known
        return [*self._said(window, seen), self._state(window, seen), *charts, *_buttons(seen, window.busy)]

    def _said(self, window: AblateWindow, seen: SweepSnapshot | None) -> list[str]:
        """About the sweep in the form, which need not be the one that runs: messages, run count, command."""
        messages = field_messages(window.refusal, FIELDS)
        if window.asked is None:
            return [*messages, "", ""]
        known = seen if seen and seen.order == window.asked else read_sweep(window.asked, self.context.store)
        return [*messages, run_count(known), command(window.asked)]

    def _state(self, window: AblateWindow, seen: SweepSnapshot | None) -> str:
        """The status line."""
        if seen is None:
            return INVITATION
        job = window.job
        over = job is None or (job.phase == "ended" and not job.refusal and not job.stopped)
        text = resting(seen) if over or job is None else doing(job, self.context.jobs.position(job))
        return status(text, f"{len(seen.ended)} of {seen.total} runs", len(seen.ended), seen.total)


def _ask(window: AblateWindow, values: Sequence[Any], uploads: Mapping[str, TaskSpec]) -> None:
    """Note the sweep that the form describes, or why it cannot be run."""
    window.asked, window.refusal = None, None
    try:
        window.asked = SweepOrder.check(*values, uploads=uploads)
    except FieldError as refusal:
        window.refusal = refusal


def _buttons(seen: SweepSnapshot | None, busy: bool) -> list[Any]:
    begun = not busy and seen is not None and 0 < len(seen.ended) < seen.total
    return [gr.update(value="Resume" if begun else "Start", interactive=not busy), gr.update(interactive=busy)]
