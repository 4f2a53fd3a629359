"""Your own data: an upload and a model that become one more task of this window's list."""

import asyncio
import html
import shutil
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder

from neatlab.dashboard.shared.choices import TASK_CHOICES
from neatlab.dashboard.shared.context import Context, Windows
from neatlab.dashboard.shared.entries import PREPARE_DATA
from neatlab.dashboard.shared.html import mistake
from neatlab.dashboard.shared.jobs import Job
from neatlab.dashboard.train.controls import Form, message, task_defaults
from neatlab.dashboard.train.data_request import (
    PLACES,
    SUFFIXES,
    DataOrder,
    DataRefused,
    Drawer,
    Made,
    Place,
    order_data,
)
from neatlab.errors import NeatlabError

PULSE = 0.25  # seconds between two looks
PATIENCE = 180.0  # seconds that it may take once it has begun
# No other page can know these data: the address keeps all but the task.
LEAVE_OUT = (
    "(task, steps) => { if (task?.startsWith('upload:')) window.neatlabSetLink({task: [], lr: [], steps: [steps]}) }"
)
INVITATION = (
    "A table with a column of texts and one of labels, or a zip of images, one folder a class; at most 50 MB. "
    "It stays on this server until you close the page, or for an hour."
)


@dataclass
class Window:
    """What one browser window has brought.

    Args:
        drawer: Its data.
        job: The process that looks at an upload, while there is one.
        order: What it looks at.
        key: The upload used last.
        notes: What was found in it.
        refusal: Why the last one could not be used.
    """

    drawer: Drawer = field(default_factory=Drawer)
    job: Job | None = None
    order: DataOrder | None = None
    key: str | None = None
    notes: list[str] = field(default_factory=list)
    refusal: DataRefused | None = None


class DataForm:
    """The part of the Train tab's form, below the choice of a task.

    Args:
        context: What the tabs share.
        form: The tab's form: the uploads join its list of tasks.
    """

    def __init__(self, context: Context, form: Form) -> None:
        self._context, self._form = context, form
        self._windows: Windows[Window] = Windows(Window)
        self._messages: dict[Place, gr.HTML] = {}
        with gr.Column(min_width=200) as whole:
            self._accordion = gr.Accordion("Your own data", open=False, elem_id="data")
            with self._accordion:
                self._lay()
        form.groups["settings"].append(whole)
        form.groups["data"] = [self._accordion]

    def _lay(self) -> None:
        self._file = gr.File(
            label=f"file ({', '.join(SUFFIXES)})", file_types=[*SUFFIXES], height=120, elem_id="data-file"
        )
        self._message("file")
        with gr.Row(elem_classes=["fields"]):
            columns = [_line(f"{name} column", f"data-{name}") for name in ("text", "label", "image")]
        self._message("columns")
        root = self._context.inspect_root
        self._model = gr.Textbox(
            "",
            label="model folder",
            placeholder="all-MiniLM-L6-v2",
            info=f"under {root}" if root else "Others when the server is started with --inspect-root DIR.",
            interactive=root is not None,
            max_lines=1,
            elem_id="data-model",
        )
        self._new_head = gr.Checkbox(label="a new classifier, even if the model has one", elem_id="data-new-head")
        self._message("model")
        self._button = gr.Button("Use this data", elem_id="data-use")
        self._about = gr.HTML(_told(INVITATION, []), elem_id="data-about", apply_default_css=False)
        self._inputs = [self._file, *columns, self._model, self._new_head]

    def _message(self, place: Place) -> None:
        self._messages[place] = message(f"message-data-{place}")

    def connect(self, demo: gr.Blocks) -> None:
        """Attach the handlers. Gradio checks no values: the order says what is wrong beside the control."""
        fields = self._form.fields
        outputs = [*self._messages.values(), self._about, self._button, *(fields[n] for n in ("task", "lr", "steps"))]
        used = self._button.click(
            self._use,
            self._inputs,
            outputs,
            preprocess=False,
            show_progress="hidden",
            api_visibility="private",
            concurrency_limit=None,
        )
        used.then(None, [fields["task"], fields["steps"]], None, js=LEAVE_OUT)
        demo.unload(self._close)

    def tasks(self, window: str | None) -> dict[str, str]:
        """Key → task as one writes it, of what this window has brought."""
        return self._windows.get(window).drawer.tasks if window else {}

    async def _use(self, request: gr.Request, *values: Any) -> AsyncIterator[list[Any]]:
        """Look at the upload in a process, and follow it."""
        window = self._windows.get(request.session_hash)
        if window.job is not None:
            yield self._shown(window)
            return
        await asyncio.to_thread(self._submit, window, values, bool(request.session_hash))
        if (job := window.job) is not None:
            try:
                async for _ in self._followed(job):
                    yield self._shown(window)
            finally:
                self._take(window, job)
        yield self._shown(window, is_new=window.refusal is None)

    def _submit(self, window: Window, values: tuple[Any, ...], is_window: bool) -> None:
        """Queue what the form describes, or note why it cannot be used."""
        window.refusal = None
        try:
            if not is_window:
                raise DataRefused("file", "open the page: an upload belongs to its window")
            order = order_data(get_upload_folder(), self._context.inspect_root, *values)
            window.order = order._replace(target=str(window.drawer.place()))
            window.job = self._context.jobs.submit(PREPARE_DATA, window.order, brief=True)
        except DataRefused as refusal:
            window.refusal = refusal
        except (NeatlabError, OSError) as error:
            window.refusal = DataRefused("file", str(error))

    async def _followed(self, job: Job) -> AsyncIterator[None]:
        begun: float | None = None
        while job.phase != "ended":
            job.look()
            yield
            if job.phase != "waiting":
                begun = begun or time.monotonic()
                if time.monotonic() - begun > PATIENCE and not job.stopped:
                    self._context.jobs.tell(job, "stop")
            await asyncio.sleep(PULSE)

    def _take(self, window: Window, job: Job) -> None:
        """What the process left behind; one that nobody follows any more is stopped, and nothing of it is kept."""
        order, window.job, window.order = window.order, None, None
        if job.phase != "ended":
            self._context.jobs.tell(job, "stop")
        if order and job.phase == "ended" and isinstance(job.result, Made):
            window.key = window.drawer.add(order.name, job.result.task, Path(order.target))
            window.notes = job.result.notes
            return
        if order:
            shutil.rmtree(order.target, ignore_errors=True)
        part: Any = job.refusal.part if job.refusal else "file"
        place: Place = part if part in PLACES else "file"
        late = f"it was stopped: to look at it may take {PATIENCE:.0f} s"
        window.refusal = DataRefused(place, str(job.refusal or late))

    def _shown(self, window: Window, is_new: bool = False) -> list[Any]:
        """Messages, what was found, the button; and the list of tasks once there is a new one."""
        refusal, busy = window.refusal, window.job is not None
        messages = [mistake(str(refusal)) if refusal and refusal.place == place else "" for place in PLACES]
        fields = [gr.update(), gr.update(), gr.update()]
        if is_new and window.key:
            choices = [*TASK_CHOICES.items(), *window.drawer.choices]
            fields = [gr.update(choices=choices, value=window.key), *task_defaults(window.key)]
        return [*messages, self._said(window), gr.update(interactive=not busy), *fields]

    def _said(self, window: Window) -> str:
        if window.job is not None:
            place = self._context.jobs.place(window.job)
            return _told(f"Waiting: place {place} in the queue." if place else "Looking at the file and the model.", [])
        if window.refusal or not window.notes:
            return _told("Not used: see above." if window.refusal else INVITATION, [])
        return _told("It is the task now; press Train. Found:", window.notes)

    def _close(self, request: gr.Request) -> None:
        if window := self._windows.end(request.session_hash):
            if window.job is not None:
                self._context.jobs.tell(window.job, "stop")
            window.drawer.close()


def _line(label: str, name: str) -> gr.Textbox:
    return gr.Textbox("", label=label, placeholder="guessed", max_lines=1, min_width=110, elem_id=name)


def _told(text: str, notes: list[str]) -> str:
    items = "".join(f"<li>{html.escape(note)}</li>" for note in notes)
    return f'<div class="hint" role="status"><p>{html.escape(text)}</p>{f"<ul>{items}</ul>" if items else ""}</div>'
