"""What can be done to the adapter that is open: acts one after the other, each undone again, and the result."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Protocol

import gradio as gr

from neatlab.dashboard.inspect.act_request import OFFERED, ActOrder, ActResult, can_score, order_acts
from neatlab.dashboard.inspect.request import InspectionProgress, InspectionResult, InspectOrder
from neatlab.dashboard.shared.context import Context
from neatlab.dashboard.shared.entries import ACT
from neatlab.dashboard.shared.field_error import FieldError
from neatlab.dashboard.shared.follow import follow, queue_text, stopping
from neatlab.dashboard.shared.html import doing, mistake
from neatlab.dashboard.shared.job import Job
from neatlab.dashboard.shared.tab import LONG, UNCHECKED, message_slot
from neatlab.errors import BadInput
from neatlab.runs.run import Run
from neatlab.runtime.templates import macros

_HTML = macros(__file__)
NO_FILE = gr.update(value=None, interactive=False)


@dataclass
class Acting:
    """One window's acts.

    Args:
        job: Its process, while there is one.
        result: What the acts did; None where none is done.
    """

    job: Job | None = None
    result: ActResult | None = None

    @property
    def acts(self) -> tuple[str, ...]:
        """What was done, in this order."""
        return self.result.order.acts if self.result else ()


class OpenAdapter(Protocol):
    """A window with an adapter open."""

    opened: InspectOrder | None
    result: InspectionResult | None
    run: Run | None
    acting: Acting
    turn: int


class ActsPart:
    """The acts below an inspection.

    Args:
        context: What the tabs share.
        windows: Session hash → the window.
    """

    def __init__(self, context: Context, windows: Callable[[str | None], OpenAdapter]) -> None:
        self._context, self._windows = context, windows
        gr.HTML(_HTML.about(), apply_default_css=False, elem_classes=["inspect-about"])
        with gr.Row(elem_classes=["inspect-acts"]):
            self._act = gr.Dropdown(
                list(OFFERED.items()),
                value="compress:energy=0.99",
                label="act, or written as compress:rank=4",
                allow_custom_value=True,
                elem_id="act",
            )
            self._is_scored = gr.Checkbox(False, label="score before and after", elem_id="act-scored", min_width=130)
            self._start = gr.Button("Apply", interactive=False, elem_id="act-start", min_width=90)
            self._undo = gr.Button("Undo", interactive=False, elem_id="act-undo", min_width=90)
            self._file = gr.DownloadButton("Save zip", interactive=False, elem_id="act-file", min_width=120)
        self._message = message_slot("inspect-message-acts")
        self._said = gr.HTML(_said(None), elem_id="act-said", apply_default_css=False)

    @property
    def shown(self) -> list[Any]:
        """What an inspection changes, in the order of `show`."""
        return [self._message, self._said, self._is_scored, self._start, self._undo, self._file]

    def show(self, window: OpenAdapter) -> list[Any]:
        """What was done to what is open, and what can be done next."""
        return self._state(window, "", _said(window))

    def connect(self, turn: gr.State) -> None:
        """Attach the handlers.

        Args:
            turn: Changes when there is something else to show.
        """
        settings: dict[str, Any] = {"outputs": [*self.shown, turn], **UNCHECKED, **LONG}
        self._start.click(self._apply, [self._act, self._is_scored], **settings)
        self._undo.click(self._take_back, None, **settings)

    async def _apply(self, request: gr.Request, act: Any, is_scored: Any) -> AsyncIterator[list[Any]]:
        """One act more."""
        window = self._windows(request.session_hash)
        try:
            opened = window.opened if window.result else None
            order = order_acts(opened, window.run, window.acting.acts, act, is_scored)
        except FieldError as error:
            yield [*self._state(window, mistake(str(error)), gr.skip()), window.turn]
            return
        async for update in self._do(request, window, order):
            yield update

    async def _take_back(self, request: gr.Request) -> AsyncIterator[list[Any]]:
        """All acts but the last, done anew: of the one before nothing is kept."""
        window = self._windows(request.session_hash)
        result = window.acting.result
        if result is None or window.acting.job is not None or len(result.order.acts) == 1:
            window.acting.result = None if window.acting.job is None else result
            window.turn += 1
            yield [*self.show(window), window.turn]
            return
        async for update in self._do(request, window, result.order._replace(acts=result.order.acts[:-1])):
            yield update

    async def _do(self, request: gr.Request, window: OpenAdapter, order: ActOrder) -> AsyncIterator[list[Any]]:
        """Do the acts in a process, and wait for it."""
        acting, jobs = window.acting, self._context.jobs
        try:
            if acting.job is not None:
                raise BadInput("an act of this window is not done; wait for it")
            visitor = self._context.visitors.of(request.session_hash)
            acting.job = job = jobs.submit(ACT, order, brief=True, visitor=visitor)
        except BadInput as error:
            yield [*self._state(window, mistake(str(error)), gr.skip()), window.turn]
            return
        try:
            with stopping(jobs, job):
                async for position in follow(jobs, job):
                    yield [*self._state(window, "", doing(queue_text(position, _doing(job)))), window.turn]
        finally:
            acting.job = None
        if isinstance(job.result, ActResult) and window.acting is acting:
            acting.result = job.result
            window.turn += 1
            yield [*self.show(window), window.turn]
            return
        said = mistake(str(job.refusal or "it was stopped; press Apply again"))
        yield [*self._state(window, said, _said(window)), window.turn]

    def _state(self, window: OpenAdapter, message: str, said: Any) -> list[Any]:
        """Message, outcome, and the buttons as they can be pressed now."""
        acting = window.acting
        is_open = window.result is not None and len(window.result.adapters) == 1
        free = is_open and acting.job is None
        file = gr.update(value=acting.result.file, interactive=free) if acting.result else NO_FILE
        buttons = [gr.update(interactive=free), gr.update(interactive=free and acting.result is not None)]
        return [message, said, gr.update(interactive=can_score(window.run)), *buttons, file]


def _doing(job: Job) -> str:
    now = job.result
    if not isinstance(now, InspectionProgress):
        return "Opening."
    return f"Layer {now.done + 1} of {now.total}: {now.layer}."


def _said(window: OpenAdapter | None) -> str:
    if window is None or window.result is None:
        return doing("Open an adapter above: a run, an upload or a folder.")
    if window.acting.result is None:
        several = len(window.result.adapters) > 1
        return doing("Open one adapter alone to change it." if several else "Choose an act and press Apply.")
    return _HTML.done(window.acting.result)
