"""Take it with you: what was trained here as a PEFT script, as a command, and as an adapter."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import gradio as gr

from neatlab.dashboard.shared.context import Context, Windows
from neatlab.dashboard.shared.entries import SCRIPTS
from neatlab.dashboard.shared.follow import follow, queue_text, stopping
from neatlab.dashboard.shared.html import doing, mistake
from neatlab.dashboard.shared.job import Job
from neatlab.dashboard.shared.links import write
from neatlab.dashboard.shared.tab import LONG
from neatlab.dashboard.train.window import TrainWindow
from neatlab.errors import BadInput, NeatlabError
from neatlab.plots.looks import looks
from neatlab.runtime.templates import macros

_HTML = macros(__file__)


class TakeAway:
    """A button below the table, and what it gives.

    Args:
        context: What the tabs share.
        windows: The trainings of the browser windows.
    """

    def __init__(self, context: Context, windows: Windows[TrainWindow]) -> None:
        self._context, self._windows = context, windows
        self._button = gr.Button("Take it with you", elem_id="take", size="sm", min_width=140)
        self._result = gr.HTML("", elem_id="taken", apply_default_css=False)

    def connect(self) -> None:
        """Attach the handler."""
        self._button.click(self._take, None, self._result, **LONG)

    async def _take(self, request: gr.Request) -> AsyncIterator[str]:
        """Write the scripts in a process, for they need the models, and show them with command and link."""
        window = self._windows.get(request.session_hash)
        try:
            job = await asyncio.to_thread(self._submit, window, request.session_hash)
        except NeatlabError as error:
            yield mistake(str(error))
            return
        with stopping(self._context.jobs, job):
            async for position in follow(self._context.jobs, job):
                yield doing(queue_text(position, "Writing the scripts."))
        yield _taken(window, job)

    def _submit(self, window: TrainWindow, session: str | None) -> Job:
        if not window.configs or window.order is None:
            raise BadInput("there is nothing yet: train, or open a link to runs that are stored")
        order, visitor = (
            tuple(config.model_dump_json() for config in window.configs),
            self._context.visitors.of(session),
        )
        return self._context.jobs.submit(SCRIPTS, order, brief=True, visitor=visitor)


def _taken(window: TrainWindow, job: Job) -> str:
    if not isinstance(job.result, list) or window.order is None:
        return mistake(str(job.refusal or "nothing was written: the process was stopped"))
    names = [look.name for look in looks([config.arm.label for config in window.configs]).values()]
    link = write({"tab": "runs", "run": [config.run_id for config in window.configs]})
    parts: list[tuple[str, Any]] = [(f"PEFT: {name}", text) for name, text in zip(names, job.result, strict=True)]
    return _HTML.taken([*parts, ("Command: with intervals over seeds", window.order.command)], link)
