"""Your own data: an upload and a model that become one more task of this window's list."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component
from gradio.utils import get_upload_folder

from neatlab.dashboard.shared.arm_form import Form
from neatlab.dashboard.shared.choices import task_choices
from neatlab.dashboard.shared.context import Context, Windows
from neatlab.dashboard.shared.entries import PREPARE_DATA
from neatlab.dashboard.shared.field_error import FieldError
from neatlab.dashboard.shared.follow import POLL_SECONDS, follow, stopping
from neatlab.dashboard.shared.html import field_messages
from neatlab.dashboard.shared.job import Job
from neatlab.dashboard.shared.profile import NO_FILES
from neatlab.dashboard.shared.quota import size_of
from neatlab.dashboard.shared.tab import LONG, UNCHECKED, in_one_queue, message_slot
from neatlab.dashboard.shared.upload_store import QUOTA, UploadStore
from neatlab.dashboard.train import data_words as words
from neatlab.dashboard.train.controls import task_defaults
from neatlab.dashboard.train.data_request import (
    COLUMNS,
    FIELDS,
    KINDS,
    SUFFIXES,
    WORKBOOKS,
    DataOrder,
    DataPreview,
    UploadedTask,
    order_data,
)
from neatlab.errors import NeatlabError

TIMEOUT_SECONDS = 180.0  # that reading an upload may take once it has begun
DROP = (Path(__file__).parent / "data_drop.js").read_text(encoding="utf-8")
# No other page can know these data: the address keeps all but the task, and the file's name instead.
LEAVE_OUT = """(task, steps) => {
  if (task?.startsWith('upload:')) window.neatlabSetLink({task: [], lr: [], steps: [steps], data: task.split('/')[1]})
}"""
GUESSED = ("guessed", "")
# A later choice stops the look at an earlier.
NEWEST: dict[str, Any] = {**UNCHECKED, **LONG, **in_one_queue("data")}


@dataclass
class UploadWindow:
    """What one browser window has brought.

    Args:
        job: The process that reads an upload, while there is one.
        order: What it reads.
        turn: Counts what the window has asked for, so that the newest is answered alone.
        key: The upload used last.
        made: What was made of it, or as much as is known of one that cannot be used.
        refusal: Why the last one could not be used.
        roles: Columns and kind as they were asked for.
        submitting: Held while a process takes the place of the one before: two calls may come at once.
    """

    job: Job | None = None
    order: DataOrder | None = None
    turn: int = 0
    key: str | None = None
    made: UploadedTask | DataPreview | None = None
    refusal: FieldError | None = None
    roles: dict[str, str] = field(default_factory=dict)
    submitting: asyncio.Lock = field(default_factory=asyncio.Lock)


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
        with gr.Column(min_width=200, visible=context.profile.takes_files) as whole:
            gr.HTML("", js_on_load=DROP, apply_default_css=False, elem_classes=["unseen"])
            self._accordion = gr.Accordion("Your own data", open=False, elem_id="data")
            with self._accordion:
                self._lay()
        self.part = Form({}, {}, {"settings": [whole], "data": [self._accordion]}, {}, {})

    def _lay(self) -> None:
        self._file = gr.File(
            label=f"file ({', '.join(SUFFIXES)})",
            file_types=[*SUFFIXES, *WORKBOOKS],  # the latter to say what to do with them
            height=120,
            elem_id="data-file",
        )
        self._messages["file"] = message_slot("message-data-file")
        self._about = gr.HTML(words.invitation(), elem_id="data-about", apply_default_css=False)
        with gr.Row(elem_classes=["fields"]):
            text, label = (_list(f"{name} column", f"data-{name}", custom=True) for name in ("text", "label"))
            kind = _list("learn as", "data-kind", custom=False, min_width=200)
            image = _list("image column", "data-image", custom=True)
        self._messages["columns"] = message_slot("message-data-columns")
        model = _model_field(self._context.inspect_root)
        new_head = gr.Checkbox(label="a new classifier, even if the model has one", elem_id="data-new-head")
        self._messages["model"] = message_slot("message-data-model")
        self._button = gr.Button("Read again with these columns", elem_id="data-use")
        self._roles = {"text": text, "label": label, "image": image, "kind": kind}
        self._inputs: list[Component] = [self._file, text, label, image, model, new_head, kind]

    def connect(self, demo: gr.Blocks) -> None:
        """Attach the handlers. Gradio checks no values: the order says what is wrong next to the control."""
        task, rate, steps = (self._run.fields[name] for name in ("task", "lr", "steps"))
        outputs: list[Block] = [*self._messages.values(), self._about, self._button, task, rate, steps]
        outputs += [*self._roles.values(), self._accordion]
        columns = [self._roles[name].input for name in COLUMNS]
        for events, handler in (
            ([self._file.upload], self._take),
            (columns, self._take_columns),
            ([self._roles["kind"].input, self._button.click], self._use),
        ):
            used = gr.on(events, handler, self._inputs, outputs, **NEWEST)
            used.then(None, [task, steps], None, js=LEAVE_OUT)
        demo.unload(self._close)

    @property
    def link_blocks(self) -> list[Block]:
        """What `linked` updates."""
        return [self._about, self._accordion]

    def linked(self, name: str | None) -> list[Any]:
        """Updates of `link_blocks` for a link that was made with a file of this name, or with none."""
        return [words.missing(name), gr.update(open=True)] if name else [gr.update(), gr.update()]

    async def _take(self, request: gr.Request, *values: Any) -> AsyncIterator[list[Any]]:
        """A new file: what was chosen for the one before does not count."""
        async for shown in self._use(request, *self._without(values, [*self._roles])):
            yield shown

    async def _take_columns(self, request: gr.Request, *values: Any) -> AsyncIterator[list[Any]]:
        """Other columns: what they are learnt as is guessed anew."""
        async for shown in self._use(request, *self._without(values, ["kind"])):
            yield shown

    def _without(self, values: tuple[Any, ...], names: list[str]) -> list[Any]:
        left_out = [self._inputs.index(self._roles[name]) for name in names]
        return ["" if index in left_out else value for index, value in enumerate(values)]

    async def _use(self, request: gr.Request, *values: Any) -> AsyncIterator[list[Any]]:
        """Read the upload in a process, and follow it; what is asked for meanwhile takes its place."""
        window, uploads = self._windows.get(request.session_hash), self._context.uploads.get(request.session_hash)
        window.turn += 1
        turn = window.turn
        if (job := await self._begin(window, uploads, values, request.session_hash)) is not None:
            try:
                with stopping(self._context.jobs, job):
                    async for _ in follow(self._context.jobs, job, timeout=TIMEOUT_SECONDS):
                        yield self._shown(window, uploads)
            finally:
                _finish(window, uploads, job)
        yield self._shown(window, uploads, is_new=True) if window.turn == turn else self._nothing_new

    async def _begin(
        self, window: UploadWindow, uploads: UploadStore, values: tuple[Any, ...], session: str | None
    ) -> Job | None:
        """A process for what the form describes, after the one before; None where there is none, or a later call."""
        turn = window.turn
        async with window.submitting:
            while window.job is not None and window.turn == turn:
                self._context.jobs.send(window.job, "stop")
                await asyncio.sleep(POLL_SECONDS)
            if window.turn != turn:
                return None
            await asyncio.to_thread(self._submit, window, uploads, values, session)
            return window.job

    def _submit(self, window: UploadWindow, uploads: UploadStore, values: tuple[Any, ...], session: str | None) -> None:
        """Queue what the form describes, or note why it cannot be used."""
        window.refusal, window.made = None, None
        try:
            if not self._context.profile.takes_files:
                raise FieldError("file", NO_FILES)
            if not session:
                raise FieldError("file", "open the page: an upload belongs to its window")
            order = order_data(get_upload_folder(), self._context.inspect_root, *values)
            window.roles = {name: getattr(order, name) for name in (*COLUMNS, "kind")}
            window.order = order._replace(target=str(uploads.new_folder()))
            visitor = self._context.visitors.of(session)
            window.job = self._context.jobs.submit(PREPARE_DATA, window.order, brief=True, visitor=visitor)
        except FieldError as refusal:
            window.refusal = refusal
        except (NeatlabError, OSError) as error:
            window.refusal = FieldError("file", str(error))

    def _shown(self, window: UploadWindow, uploads: UploadStore, is_new: bool = False) -> list[Any]:
        """Messages, notes, the button; the list of tasks once there is a new one; the lists of columns."""
        messages, fields = field_messages(window.refusal, FIELDS), [gr.update(), gr.update(), gr.update()]
        if is_new and window.refusal is None and window.key:
            choices = [*task_choices().items(), *uploads.choices]
            fields = [gr.update(choices=choices, value=window.key), *task_defaults(window.key)]
        roles = _role_updates(window) if is_new else [gr.update()] * len(self._roles)
        button = gr.update(interactive=window.job is None)
        return [*messages, self._state(window), button, *fields, *roles, gr.update(open=True)]

    @property
    def _nothing_new(self) -> list[Any]:
        return [gr.skip()] * (len(FIELDS) + len(self._roles) + 6)

    def _state(self, window: UploadWindow) -> str:
        if window.job is not None:
            return words.looking(self._context.jobs.position(window.job))
        return words.state(window.made, window.refusal)

    def _close(self, request: gr.Request) -> None:
        if window := self._windows.end(request.session_hash):
            window.turn += 1
            if window.job is not None:
                self._context.jobs.send(window.job, "stop")
        if uploads := self._context.uploads.end(request.session_hash):
            uploads.close()


def _role_updates(window: UploadWindow) -> list[Any]:
    """The lists of columns and kinds, with what was given or guessed."""
    made = window.made
    preview = made.preview if isinstance(made, UploadedTask) else made
    roles = made.roles if isinstance(made, UploadedTask) else window.roles
    kinds = made.kinds if isinstance(made, UploadedTask) else [*KINDS]
    columns = [GUESSED, *((name, name) for name in (preview.columns if preview else []))]
    choices: dict[str, Any] = {
        **dict.fromkeys(COLUMNS, columns),
        "kind": [GUESSED, *((KINDS[kind], kind) for kind in kinds)],
    }
    # What was asked for stands in the page already; to write it again would undo what was chosen meanwhile.
    guessed: dict[str, dict[str, Any]] = {
        name: {"value": roles.get(name, "")} for name in choices if not window.roles.get(name)
    }
    return [gr.update(choices=choices[name], **guessed.get(name, {})) for name in choices]


def _finish(window: UploadWindow, uploads: UploadStore, job: Job) -> None:
    """Note what the process has left; of one that nobody follows any more, nothing stays."""
    order, window.job, window.order = window.order, None, None
    if isinstance(job.result, UploadedTask | DataPreview):
        window.made = job.result
    if order and job.phase == "ended" and isinstance(job.result, UploadedTask):
        window.key = uploads.add(order.name, job.result.task, Path(order.target), order.file)
        for gone in QUOTA.take(Path(order.target), job.visitor, size_of(Path(order.target))):
            shutil.rmtree(gone, ignore_errors=True)
        return
    if order:
        shutil.rmtree(order.target, ignore_errors=True)
    late = f"it was stopped: to look at it may take {TIMEOUT_SECONDS:.0f} s"
    field = job.refusal.field if job.refusal and job.refusal.field in FIELDS else "file"
    window.refusal = FieldError(field, str(job.refusal or late))


def _list(label: str, name: str, custom: bool, min_width: int = 110) -> gr.Dropdown:
    return gr.Dropdown([GUESSED], value="", label=label, allow_custom_value=custom, min_width=min_width, elem_id=name)


def _model_field(root: Path | None) -> gr.Textbox:
    return gr.Textbox(
        "",
        label="model folder",
        placeholder="all-MiniLM-L6-v2, or a small ViT",
        info=f"under {root}" if root else "Others when the server is started with --inspect-root DIR.",
        interactive=root is not None,
        max_lines=1,
        elem_id="data-model",
    )
