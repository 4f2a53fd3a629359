"""What the Ablate tab does: checks the form, starts and stops a sweep, and shows how far it is."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, NamedTuple

import gradio as gr

from neatlab.dashboard.ablate.form import SweepForm
from neatlab.dashboard.ablate.view import (
    EMPTY,
    INVITATION,
    SweepCharts,
    command,
    detail,
    doing,
    draw_sweep,
    resting,
    run_count,
    status,
)
from neatlab.dashboard.ablate.window import AblateWindow
from neatlab.dashboard.shared.context import Context, Windows
from neatlab.dashboard.shared.entries import SWEEP
from neatlab.dashboard.shared.field_error import FieldError
from neatlab.dashboard.shared.follow import follow
from neatlab.dashboard.shared.html import field_messages
from neatlab.dashboard.sweeps.estimate import seconds_per_step
from neatlab.dashboard.sweeps.request import FIELDS, SweepOrder
from neatlab.dashboard.sweeps.snapshot import SweepSnapshot, read_sweep
from neatlab.errors import NeatlabError

MORE_SEEDS = "More seeds"
POLL_SECONDS = 0.5  # between two looks at a sweep


class Known(NamedTuple):
    """A sweep's runs, what was drawn of them, and what is said of the sweep that the form describes."""

    seen: SweepSnapshot | None
    charts: SweepCharts
    about: tuple[str, str]


OTHER_OUTPUTS = 11  # than the messages, as `_shown` gives them
# Gradio empties the outputs of a generator that gives nothing.
NOTHING_NEW: list[Any] = [gr.skip()] * (len(FIELDS) + OTHER_OUTPUTS)
NOTHING = Known(None, EMPTY, ("", ""))


class Handlers:
    """The handlers of the tab.

    Args:
        context: What the tabs share.
        form: The form.
    """

    def __init__(self, context: Context, form: SweepForm) -> None:
        self._context, self._form = context, form
        self._windows: Windows[AblateWindow] = Windows(AblateWindow)

    def fill(self, session: str | None) -> None:
        """The window's page is about to fill its form from a link; `restore` comes when it has.

        Meanwhile nothing is answered: texts tell of their change before the other fields are filled, and Gradio's page
        may show the answer to these over the last one, where it comes while the tab is put into the page.
        """
        self._windows.get(session).filling = True

    async def restore(self, request: gr.Request, *values: Any) -> AsyncIterator[list[Any]]:
        """The form is as its link says."""
        self._windows.get(request.session_hash).filling = False
        async for shown in self.look(request, *values):
            yield shown

    async def look(self, request: gr.Request, *values: Any) -> AsyncIterator[list[Any]]:
        """The form has changed: check it, and where nothing runs in this window, show what the store has of it."""
        window = self._windows.get(request.session_hash)
        if window.filling:
            yield NOTHING_NEW
            return
        await self._ask(window, values, request.session_hash)
        if window.asked and not window.busy:
            window.order, window.job = window.asked, self._context.jobs.find(SWEEP, window.asked)
        async for shown in self._follow(window, request):
            yield shown

    async def begin(self, request: gr.Request, *values: Any) -> AsyncIterator[list[Any]]:
        """Start the sweep, or look at the one that runs."""
        window = self._windows.get(request.session_hash)
        if order := await self._ask(window, values, request.session_hash):
            await asyncio.to_thread(self._submit, window, order, request.session_hash)
        async for shown in self._follow(window, request):
            yield shown

    def end(self, request: gr.Request) -> Any:
        """Stop the window's sweep."""
        window = self._windows.get(request.session_hash)
        if window.job and window.busy and window.job.owned_by(window):
            self._context.jobs.send(window.job, "stop")
        return gr.update(value="Stop", interactive=False)

    def close(self, request: gr.Request) -> None:
        """The window is gone; its sweep goes on for a little while, for it may only be loaded again."""
        if window := self._windows.end(request.session_hash):
            window.turn += 1
            window.closed = True

    async def _ask(self, window: AblateWindow, values: Sequence[Any], session: str | None) -> SweepOrder | None:
        """The sweep that the form describes; it, or why it cannot be run, is noted unless a newer form has come."""
        window.forms += 1
        number = window.forms
        order, refusal = await asyncio.to_thread(self._checked, values, session)
        if window.forms == number:
            before, window.asked, window.refusal = window.asked, order, refusal
            if order and (before is None or before.task != order.task):
                window.step_seconds = await asyncio.to_thread(seconds_per_step, order, self._context.store)
        return order

    def _checked(self, values: Sequence[Any], session: str | None) -> tuple[SweepOrder | None, FieldError | None]:
        try:
            return self._form.order(values, self._context.tasks(session)), None
        except FieldError as refusal:
            return None, refusal

    def _submit(self, window: AblateWindow, order: SweepOrder, session: str | None) -> None:
        """Queue the sweep, unless all its runs are there or someone sweeps it already."""
        try:
            if window.busy and window.order != order:
                raise FieldError("run", "a sweep of this window is not done; stop it first")
            self._context.store.check_writable()
            jobs, job = self._context.jobs, self._context.jobs.find(SWEEP, order)
            if job is None and not read_sweep(order, self._context.store).complete:
                job = jobs.submit(SWEEP, order, owner=window, visitor=self._context.visitors.of(session))
            window.order, window.job = order, job
        except NeatlabError as error:
            window.refusal = error if isinstance(error, FieldError) else FieldError("run", str(error))

    async def _follow(self, window: AblateWindow, request: gr.Request) -> AsyncIterator[list[Any]]:
        """Show the window's sweep until its process has ended, or another follower takes over."""
        window.turn += 1
        turn, known = window.turn, NOTHING
        if window.job:
            async for _ in follow(self._context.jobs, window.job, seconds=POLL_SECONDS):
                known = await asyncio.to_thread(self._read, window, known)
                if window.turn != turn:  # another may have taken over while this one read
                    yield NOTHING_NEW
                    return
                self._windows.touch(request.session_hash)
                yield self._shown(window, known)
        known = await asyncio.to_thread(self._read, window, known)
        yield self._shown(window, known) if window.turn == turn else NOTHING_NEW

    def _read(self, window: AblateWindow, before: Known) -> Known:
        """What the store has of the window's sweep now, drawn anew only where a run has ended."""
        if window.order is None:
            return NOTHING._replace(about=self._about(window, None))
        old = before.seen if before.seen and before.seen.order == window.order else None
        seen = read_sweep(window.order, self._context.store, old)
        same = old is not None and old.ended.keys() == seen.ended.keys()
        charts = before.charts if same else draw_sweep(seen, window.step_seconds)
        return Known(seen, charts, self._about(window, seen))

    def _about(self, window: AblateWindow, seen: SweepSnapshot | None) -> tuple[str, str]:
        """Run count and command of the sweep in the form, which need not be the one that runs."""
        if window.asked is None:
            return "", ""
        known = seen if seen and seen.order == window.asked else read_sweep(window.asked, self._context.store)
        return run_count(known, window.step_seconds), command(window.asked)

    def _shown(self, window: AblateWindow, known: Known) -> list[Any]:
        """Values of the tab's outputs: messages, run count, command, status, charts, buttons."""
        charts = known.charts
        messages = field_messages(window.refusal, FIELDS)
        drawn = [charts.decision, charts.grid, charts.scores, charts.verdict]
        return [*messages, *known.about, self._state(window, known), *drawn, *_buttons(window, known)]

    def _state(self, window: AblateWindow, known: Known) -> str:
        """The status line."""
        seen = known.seen
        if seen is None:
            return INVITATION
        job = window.job
        over = job is None or (job.phase == "ended" and not job.refusal and not job.stopped)
        position = 0 if over or job is None else self._context.jobs.position(job)
        text = (
            resting(seen, known.charts.is_decided) if over or job is None else doing(job, position, seen.is_searching)
        )
        return status(text, detail(seen, window.busy), len(seen.ended), seen.total)


def _buttons(window: AblateWindow, known: Known) -> list[Any]:
    """Start, stop, more seeds, tune the rates."""
    seen, charts, busy = known.seen, known.charts, window.busy
    is_stopped = window.job is not None and not busy and seen is not None and 0 < len(seen.ended) < seen.total
    start = gr.update(value="Resume" if is_stopped else "Start", interactive=not busy)
    labels = {"": MORE_SEEDS, "auto": "Until decided"}
    label = labels.get(charts.more_seeds, f"{charts.more_seeds} seeds")
    seeds = gr.update(interactive=bool(charts.more_seeds) and not busy, value=label)
    # With their labels: Gradio's page may forget one that an update leaves out.
    stop = gr.update(value="Stop", interactive=busy)
    return [start, stop, seeds, gr.update(value="Tune rates", interactive=charts.asks_rates and not busy)]
