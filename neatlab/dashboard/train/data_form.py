"""Your own data: an upload and a model that become one more task of this window's list."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder

from neatlab.dashboard.shared.choices import task_choices
from neatlab.dashboard.shared.context import Context, Windows
from neatlab.dashboard.shared.entries import PREPARE_DATA
from neatlab.dashboard.shared.field_error import FieldError
from neatlab.dashboard.shared.follow import follow, stopping
from neatlab.dashboard.shared.html import field_messages
from neatlab.dashboard.shared.job import Job
from neatlab.dashboard.shared.quota import size_of
from neatlab.dashboard.shared.tab import LONG, UNCHECKED, message_slot
from neatlab.dashboard.train.controls import Form, task_defaults
from neatlab.dashboard.train.data_request import FIELDS, SUFFIXES, DataOrder, UploadedTask, order_data
from neatlab.dashboard.train.upload_store import QUOTA, UploadStore
from neatlab.errors import NeatlabError
from neatlab.runtime.templates import macros
from neatlab.tasks import TaskSpec

_HTML = macros(__file__)
TIMEOUT_SECONDS = 180.0  # that reading an upload may take once it has begun
# No other page can know these data: the address keeps all but the task.
LEAVE_OUT = (
    "(task, steps) => { if (task?.startsWith('upload:')) window.neatlabSetLink({task: [], lr: [], steps: [steps]}) }"
)
INVITATION = (
    "A table with a column of texts and one of labels, or a zip of images, one folder a class; at most 50 MB. "
    "It stays on this server until you close the page, or for an hour."
)


@dataclass
class UploadWindow:
    """What one browser window has brought.

    Args:
        uploads: Its data.
        job: The process that reads an upload, while there is one.
        order: What it reads.
        key: The upload used last.
        notes: What was noticed in it.
        refusal: Why the last one could not be used.
    """

    uploads: UploadStore = field(default_factory=UploadStore)
    job: Job | None = None
    order: DataOrder | None = None
    key: str | None = None
    notes: list[str] = field(default_factory=list)
    refusal: FieldError | None = None


class DataForm:
    """The part of the Train tab's form below the choice of a task.

    Args:
        context: What the tabs share.
        run: The fields of the run: the uploads join their list of tasks.
    """

    def __init__(self, context: Context, run: Form) -> None:
        self._context, self._run = context, run
        self._windows: Windows[UploadWindow] = Windows(UploadWindow)
        self._messages: dict[str, gr.HTML] = {}
        with gr.Column(min_width=200) as whole:
            self._accordion = gr.Accordion("Your own data", open=False, elem_id="data")
            with self._accordion:
                self._lay()
        self.part = Form({}, {}, {"settings": [whole], "data": [self._accordion]}, {})

    def _lay(self) -> None:
        self._file = gr.File(
            label=f"file ({', '.join(SUFFIXES)})", file_types=[*SUFFIXES], height=120, elem_id="data-file"
        )
        self._message("file")
        with gr.Row(elem_classes=["fields"]):
            columns = [_line(f"{name} column", f"data-{name}") for name in ("text", "label", "image")]
        self._message("columns")
        model = self._model()
        new_head = gr.Checkbox(label="a new classifier, even if the model has one", elem_id="data-new-head")
        self._message("model")
        self._button = gr.Button("Use this data", elem_id="data-use")
        self._about = gr.HTML(_HTML.about(INVITATION), elem_id="data-about", apply_default_css=False)
        self._inputs = [self._file, *columns, model, new_head]

    def _model(self) -> gr.Textbox:
        root = self._context.inspect_root
        return gr.Textbox(
            "",
            label="model folder",
            placeholder="all-MiniLM-L6-v2",
            info=f"under {root}" if root else "Others when the server is started with --inspect-root DIR.",
            interactive=root is not None,
            max_lines=1,
            elem_id="data-model",
        )

    def _message(self, field: str) -> None:
        self._messages[field] = message_slot(f"message-data-{field}")

    def connect(self, demo: gr.Blocks) -> None:
        """Attach the handlers. Gradio checks no values: the order says what is wrong next to the control."""
        task, rate, steps = (self._run.fields[name] for name in ("task", "lr", "steps"))
        outputs = [*self._messages.values(), self._about, self._button, task, rate, steps]
        used = self._button.click(self._use, self._inputs, outputs, **UNCHECKED, **LONG)
        used.then(None, [task, steps], None, js=LEAVE_OUT)
        demo.unload(self._close)

    def tasks(self, session: str | None) -> dict[str, TaskSpec]:
        """Key → task, of what this window has brought."""
        return self._windows.get(session).uploads.tasks if session else {}

    async def _use(self, request: gr.Request, *values: Any) -> AsyncIterator[list[Any]]:
        """Read the upload in a process, and follow it."""
        window = self._windows.get(request.session_hash)
        if window.job is not None:
            yield self._shown(window)
            return
        await asyncio.to_thread(self._submit, window, values, request.session_hash)
        if (job := window.job) is not None:
            try:
                with stopping(self._context.jobs, job):
                    async for _ in follow(self._context.jobs, job, timeout=TIMEOUT_SECONDS):
                        yield self._shown(window)
            finally:
                _finish(window, job)
        yield self._shown(window, is_new=window.refusal is None)

    def _submit(self, window: UploadWindow, values: tuple[Any, ...], session: str | None) -> None:
        """Queue what the form describes, or note why it cannot be used."""
        window.refusal = None
        try:
            if not session:
                raise FieldError("file", "open the page: an upload belongs to its window")
            order = order_data(get_upload_folder(), self._context.inspect_root, *values)
            window.order = order._replace(target=str(window.uploads.new_folder()))
            visitor = self._context.visitors.of(session)
            window.job = self._context.jobs.submit(PREPARE_DATA, window.order, brief=True, visitor=visitor)
        except FieldError as refusal:
            window.refusal = refusal
        except (NeatlabError, OSError) as error:
            window.refusal = FieldError("file", str(error))

    def _shown(self, window: UploadWindow, is_new: bool = False) -> list[Any]:
        """Messages, notes, the button; and the list of tasks once there is a new one."""
        messages, fields = field_messages(window.refusal, FIELDS), [gr.update(), gr.update(), gr.update()]
        if is_new and window.key:
            choices = [*task_choices().items(), *window.uploads.choices]
            fields = [gr.update(choices=choices, value=window.key), *task_defaults(window.key)]
        return [*messages, self._state(window), gr.update(interactive=window.job is None), *fields]

    def _state(self, window: UploadWindow) -> str:
        if window.job is not None:
            position = self._context.jobs.position(window.job)
            waits = f"Waiting: place {position} in the queue."
            return _HTML.about(waits if position else "Looking at the file and the model.")
        if window.refusal or not window.notes:
            return _HTML.about("Not used: see above." if window.refusal else INVITATION)
        return _HTML.about("It is the task now; press Train. Found:", window.notes)

    def _close(self, request: gr.Request) -> None:
        if window := self._windows.end(request.session_hash):
            if window.job is not None:
                self._context.jobs.send(window.job, "stop")
            window.uploads.close()


def _finish(window: UploadWindow, job: Job) -> None:
    """Note what the process has left; of one that nobody follows any more, nothing stays."""
    order, window.job, window.order = window.order, None, None
    if order and job.phase == "ended" and isinstance(job.result, UploadedTask):
        window.key = window.uploads.add(order.name, job.result.task, Path(order.target))
        window.notes = job.result.notes
        for gone in QUOTA.take(Path(order.target), job.visitor, size_of(Path(order.target))):
            shutil.rmtree(gone, ignore_errors=True)
        return
    if order:
        shutil.rmtree(order.target, ignore_errors=True)
    late = f"it was stopped: to look at it may take {TIMEOUT_SECONDS:.0f} s"
    field = job.refusal.field if job.refusal and job.refusal.field in FIELDS else "file"
    window.refusal = FieldError(field, str(job.refusal or late))


def _line(label: str, name: str) -> gr.Textbox:
    return gr.Textbox("", label=label, placeholder="guessed", max_lines=1, min_width=110, elem_id=name)
