"""The Ablate tab: depth × activation × seeds as a sweep that one can watch, stop and resume."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import gradio as gr

from neatlab.config import parse_task
from neatlab.dashboard.ablate.request import ACTIVATIONS, DEPTHS, PLACES, SweepOrder, SweepRefusal, chosen
from neatlab.dashboard.ablate.verdict import NO_VERDICT
from neatlab.dashboard.ablate.view import (
    EMPTY,
    INVITATION,
    Board,
    Picture,
    board,
    command,
    doing,
    outlook,
    picture,
    resting,
    status,
)
from neatlab.dashboard.shared.choices import TASK_CHOICES
from neatlab.dashboard.shared.context import Context, Windows
from neatlab.dashboard.shared.entries import SWEEP
from neatlab.dashboard.shared.html import mistake
from neatlab.dashboard.shared.jobs import Job
from neatlab.dashboard.shared.links import Link
from neatlab.dashboard.shared.live_plot import Chart, live_plot
from neatlab.dashboard.shared.tab import LIGHT, Tab
from neatlab.errors import NeatlabError
from neatlab.tasks import TASKS

PULSE = 0.5  # seconds between two looks at a sweep
FIELDS = ("ablate_task", "base", "depth", "activation", "seeds", "ablate_steps")
INTRO = """<p>Which depth and which activation does this task ask for? Every combination is trained on every seed and
held against LoRA of the same rank. A sweep that was stopped goes on from what had finished.</p>"""

Known = tuple[Picture | None, Board]  # a sweep's runs, and what was drawn of them


@dataclass
class Window:
    """What one browser window shows.

    Args:
        asked: The sweep that the form describes; None where it cannot be run.
        order: The sweep in the charts: the one that runs, else the one that was asked for last.
        job: Its process, while there is one.
        refusal: Why what the form describes cannot be run.
        turn: Which of the window's followers may speak: the last one that began.
    """

    asked: SweepOrder | None = None
    order: SweepOrder | None = None
    job: Job | None = None
    refusal: Exception | None = None
    turn: int = 0
    closed: bool = False

    @property
    def busy(self) -> bool:
        """Whether a sweep of this window waits or runs."""
        return self.job is not None and self.job.phase != "ended"


class AblateTab(Tab):
    """Sweeps from the page."""

    name: ClassVar[str] = "ablate"
    title: ClassVar[str] = "Ablate"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._windows: Windows[Window] = Windows(Window)
        self._messages: dict[str, gr.HTML] = {}
        gr.HTML(INTRO, apply_default_css=False, elem_classes=["ablate-intro"])
        with gr.Row(elem_classes=["lab"]):
            with gr.Column(scale=1, min_width=300, elem_classes=["settings"]), gr.Group(elem_classes=["run"]):
                self._lay_fields()
            with gr.Column(scale=3, min_width=320, elem_classes=["results"]):
                self._lay_results()

    def _lay_fields(self) -> None:
        task = gr.Dropdown(list(TASK_CHOICES.items()), value="digits", label="task", elem_id="ablate-task")
        base = gr.Textbox(
            "neat:rank=4", label="base arm", info="what the grid varies", elem_id="ablate-base", max_lines=1
        )
        self._message("base")
        depth = gr.CheckboxGroup(
            list(DEPTHS), value=[2, 4], label="depths L", info="odd ones need residual=none", elem_id="ablate-depth"
        )
        self._message("depth")
        activation = gr.Dropdown(
            list(ACTIVATIONS),
            value=["relu", "gelu", "tanh"],
            multiselect=True,
            label="activations σ",
            elem_id="ablate-activation",
        )
        self._message("activation")
        with gr.Row(elem_classes=["fields"]):
            seeds = gr.Number(3, label="seeds", precision=0, elem_id="ablate-seeds", min_width=80)
            # A line of text: an empty gr.Number sends 0, and empty means the task's default.
            steps = gr.Textbox(
                "", label="steps", placeholder=_default("digits"), elem_id="ablate-steps", max_lines=1, min_width=110
            )
        self._message("run")
        self.fields = dict(zip(FIELDS, (task, base, depth, activation, seeds, steps), strict=True))

    def _message(self, place: str) -> None:
        self._messages[place] = gr.HTML(
            "", elem_id=f"ablate-message-{place}", elem_classes=["message"], apply_default_css=False
        )

    def _lay_results(self) -> None:
        with gr.Row(elem_classes=["actions"]):
            self._start = gr.Button("Start", variant="primary", elem_id="ablate-start", min_width=90)
            self._stop = gr.Button("Stop", interactive=False, elem_id="ablate-stop", min_width=90)
        self._status = gr.HTML(INVITATION, elem_id="ablate-status", apply_default_css=False)
        self._outlook = gr.HTML("", elem_id="ablate-outlook", apply_default_css=False)
        with gr.Row(elem_classes=["charts"]):
            self._heat = live_plot(
                Chart("ablate-heat", "Depth × activation", "The grid fills here, a cell an arm.", 420)
            )
            self._scores = live_plot(Chart("ablate-scores", "Arms", "Mean and 95 % interval of each arm.", 420))
        self._verdict = gr.HTML(NO_VERDICT, elem_id="ablate-verdict", apply_default_css=False)
        self._command = gr.HTML("", elem_id="ablate-command", apply_default_css=False)

    def read_link(self, link: Link, window: str | None) -> list[Any]:
        if link.depth:
            chosen("depth", link.depth, DEPTHS)
        if link.activation:
            chosen("activation", link.activation, ACTIVATIONS)
        return super().read_link(link, window)

    def connect(self, demo: gr.Blocks) -> None:
        """Attach the handlers. Gradio checks no values: `SweepOrder.check` says what is wrong beside the field."""
        fields: list[Any] = list(self.fields.values())
        shown: list[Any] = [
            *self._messages.values(),
            self._outlook,
            self._command,
            self._status,
            self._heat,
            self._scores,
        ]
        shown += [self._verdict, self._start, self._stop]
        long: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}
        long |= {"preprocess": False}
        # A gr.Textbox tells of a text that was pasted as `change` alone.
        changed = [field.change if isinstance(field, gr.Textbox) else field.input for field in fields]
        # "multiple": a new follower takes the place of the one before, which would otherwise keep it waiting.
        gr.on(changed, self._look, fields, shown, trigger_mode="multiple", **long)
        self._start.click(self._begin, fields, shown, **long)
        self.restored = [(self._look, fields, shown, long)]
        fields[0].input(_hint, fields[0], fields[-1], **LIGHT)
        self._stop.click(self._end, None, self._stop, **LIGHT)
        demo.unload(self._close)

    async def _look(self, request: gr.Request, *values: Any) -> AsyncIterator[list[Any]]:
        """The form has changed: check it, and where nothing runs in this window, show what the store has of it."""
        window = self._windows.get(request.session_hash)
        await asyncio.to_thread(self._ask, window, values)
        if window.asked and not window.busy:
            window.order, window.job = window.asked, self.context.jobs.find(SWEEP, window.asked)
        async for shown in self._follow(window):
            self._windows.touch(request.session_hash)
            yield shown

    async def _begin(self, request: gr.Request, *values: Any) -> AsyncIterator[list[Any]]:
        """Start the sweep, or look at the one that runs."""
        window = self._windows.get(request.session_hash)
        await asyncio.to_thread(self._submit, window, values)
        async for shown in self._follow(window):
            self._windows.touch(request.session_hash)
            yield shown

    def _ask(self, window: Window, values: Sequence[Any]) -> None:
        """Note the sweep that the form describes, or why it cannot be run."""
        window.asked, window.refusal = None, None
        try:
            window.asked = SweepOrder.check(*values)
        except SweepRefusal as refusal:
            window.refusal = refusal

    def _submit(self, window: Window, values: Sequence[Any]) -> None:
        """Queue the sweep, unless all its runs are there or someone sweeps it already."""
        self._ask(window, values)
        if window.asked is None:
            return
        try:
            if window.busy and window.order != window.asked:
                raise SweepRefusal("run", "a sweep of this window is not done; stop it first")
            self.context.store.check_writable()
            job = self.context.jobs.find(SWEEP, window.asked)
            if job is None and not picture(window.asked, self.context.store).complete:
                job = self.context.jobs.submit(SWEEP, window.asked, owner=window)
            window.order, window.job = window.asked, job
        except NeatlabError as error:
            window.refusal = error

    def _end(self, request: gr.Request) -> Any:
        window = self._windows.get(request.session_hash)
        if window.job and window.busy and window.job.owned_by(window):
            self.context.jobs.tell(window.job, "stop")
        return gr.update(interactive=False)

    def _close(self, request: gr.Request) -> None:
        """The window is gone; its sweep goes on for a little while, for it may only be loaded again."""
        if window := self._windows.end(request.session_hash):
            window.turn += 1
            window.closed = True

    async def _follow(self, window: Window) -> AsyncIterator[list[Any]]:
        """Show the window's sweep until its process has ended, or another follower takes over."""
        window.turn += 1
        turn = window.turn
        known: Known = (None, EMPTY)
        while True:
            busy = window.busy
            if window.job:
                window.job.look()
            known = await asyncio.to_thread(self._read, window, known)
            yield [*self._said(window, known[0]), self._state(window, known[0]), *known[1], *_buttons(known[0], busy)]
            if not busy:
                return
            await asyncio.sleep(PULSE)
            if window.turn != turn:
                return

    def _read(self, window: Window, before: Known) -> Known:
        """What the store has of the window's sweep now, drawn anew only where a run has ended."""
        if window.order is None:
            return None, EMPTY
        old = before[0] if before[0] and before[0].order == window.order else None
        seen = picture(window.order, self.context.store, old.found if old else None)
        return seen, before[1] if old and old.found.keys() == seen.found.keys() else board(seen)

    def _said(self, window: Window, seen: Picture | None) -> list[str]:
        """About the sweep in the form, which need not be the one that runs: messages, outlook, command."""
        place = getattr(window.refusal, "place", "run")
        messages = [mistake(str(window.refusal)) if window.refusal and name == place else "" for name in PLACES]
        if window.asked is None:
            return [*messages, "", ""]
        known = seen if seen and seen.order == window.asked else picture(window.asked, self.context.store)
        return [*messages, outlook(known), command(window.asked)]

    def _state(self, window: Window, seen: Picture | None) -> str:
        """The status line."""
        if seen is None:
            return INVITATION
        job = window.job
        over = job is None or (job.phase == "ended" and not job.refusal and not job.stopped)
        text = resting(seen) if over or job is None else doing(job, self.context.jobs.place(job))
        return status(text, f"{len(seen.found)} of {seen.total} runs", len(seen.found), seen.total)


def _buttons(seen: Picture | None, busy: bool) -> list[Any]:
    begun = not busy and seen is not None and 0 < len(seen.found) < seen.total
    return [gr.update(value="Resume" if begun else "Start", interactive=not busy), gr.update(interactive=busy)]


def _hint(task: Any) -> Any:
    """The task's own number of steps, as what an empty field stands for."""
    return gr.update(placeholder=_default(task)) if task in TASK_CHOICES.values() else gr.update()


def _default(task: str) -> str:
    return f"{TASKS[parse_task(task)[0]].training['steps']}"
