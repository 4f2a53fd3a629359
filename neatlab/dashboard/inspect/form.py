"""What the Inspect tab opens: a run, an upload, or a folder where the server allows it."""

from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder

from neatlab.dashboard.inspect.request import (
    FIELDS,
    FOLDER,
    RUN,
    UPLOAD,
    InspectOrder,
    order_folder,
    order_runs,
    order_upload,
)
from neatlab.dashboard.shared.choices import task_choices
from neatlab.dashboard.shared.context import Context
from neatlab.dashboard.shared.field_error import FieldError
from neatlab.dashboard.shared.listing import by_task, choices, read_store
from neatlab.dashboard.shared.profile import NO_FILES
from neatlab.dashboard.shared.tab import LIGHT, UNCHECKED, message_slot
from neatlab.runs.run import Run

RAW = LIGHT | UNCHECKED


class OpenForm:
    """The form on the left.

    Args:
        context: What the tabs share.
        holder: The tab that it lies in; the lists are filled when it is opened.
    """

    def __init__(self, context: Context, holder: Any) -> None:
        self._context, self._holder = context, holder
        self._messages: dict[str, gr.HTML] = {}
        kinds = [RUN] + [UPLOAD] * context.profile.takes_files + [FOLDER] * (context.inspect_root is not None)
        self._kind = gr.Radio(kinds, value=RUN, label="open", elem_id="inspect-kind")
        with gr.Group() as self._of_run:
            self._lay_run()
        with gr.Group(visible=False) as self._of_upload:
            self._lay_upload()
        with gr.Group(visible=False) as self._of_folder:
            self._folder = self._path("folder", "inspect-folder")
            self._message("folder")
        with gr.Group(visible=False) as self._of_base:
            self._lay_base()

    def _lay_run(self) -> None:
        self.run = _picker("finished run", "inspect-run")
        self._message("run")
        self.other = _picker("beside another on the same task, if you like", "inspect-other")
        self._message("other")

    def _lay_upload(self) -> None:
        self._files = gr.File(
            label="a zip, adapter_config.json and adapter_model.safetensors, or a LoRA file",
            file_count="multiple",
            height=150,
            elem_id="inspect-files",
        )
        self._message("upload")

    def _lay_base(self) -> None:
        self._base = gr.Dropdown(
            [(f"of {title}", name) for title, name in task_choices().items()],
            value="",
            label="base model, where the adapter does not name it",
            info="NEAT, DoRA and others state their ΔW through W₀; what this lab exports names its own.",
            allow_custom_value=True,  # else a text that is typed is added to what stands there
            elem_id="inspect-base",
        )
        self._base_folder = self._path("or the base's folder", "inspect-base-folder")
        self._message("base")

    def _path(self, label: str, name: str) -> gr.Textbox:
        root = self._context.inspect_root
        return gr.Textbox("", label=label, info=f"under {root}", max_lines=1, elem_id=name, visible=root is not None)

    def _message(self, field: str) -> None:
        self._messages[field] = message_slot(f"inspect-message-{field}")

    @property
    def inputs(self) -> list[Any]:
        """The controls, in the order of `order`."""
        return [self._kind, self.run, self.other, self._files, self._folder, self._base, self._base_folder]

    @property
    def messages(self) -> list[gr.HTML]:
        """The slots for messages, in the order of FIELDS."""
        return [self._messages[field] for field in FIELDS]

    def connect(self) -> None:
        """Attach the handlers that the form answers alone."""
        groups = [self._of_run, self._of_upload, self._of_folder, self._of_base]
        self._kind.input(_switch, self._kind, groups, **RAW)
        lists = [self.run, self.other]
        if isinstance(self._holder, gr.Tab):
            self._holder.select(self._fill, lists, lists, **RAW)
        self.run.input(self._fill, lists, lists, **RAW)

    def order(
        self, kind: Any, run: Any, other: Any, files: Any, folder: Any, base: Any, base_folder: Any
    ) -> tuple[InspectOrder, Run | None]:
        """What the form asks for, and the run that it opens.

        Raises:
            FieldError: It cannot be opened; says next to which control.
        """
        if kind == UPLOAD:
            if not self._context.profile.takes_files:
                raise FieldError("upload", NO_FILES)
            return order_upload(get_upload_folder(), files, base), None
        if kind == FOLDER:
            return order_folder(self._context.inspect_root, folder, base, base_folder), None
        listing = read_store(self._context.store)
        order = order_runs(listing, run, other)
        return order, listing.runs[order.runs[0]]

    def finished(self, like: str | None = None) -> list[tuple[str, str]]:
        """(text, id) of the finished runs; of those on the task of `like`, and others than it, where one is given."""
        listing = read_store(self._context.store)
        runs = [run for run in listing.runs.values() if run.status == "finished"]
        if like is not None:
            same = next((group for group in by_task(runs).values() if like in [run.run_id for run in group]), [])
            runs = [run for run in same if run.run_id != like]
        return choices(listing._replace(runs={run.run_id: run for run in runs}))

    def _fill(self, run: Any, other: Any) -> list[Any]:
        """The lists anew; what is chosen stays if it still can."""
        others = self.finished(str(run)) if run else []
        value = other if other in [run_id for _, run_id in others] else ""
        return [gr.update(choices=self.finished()), gr.update(choices=others, value=value)]


def _picker(label: str, name: str) -> gr.Dropdown:
    return gr.Dropdown([], value=None, label=label, allow_custom_value=True, elem_id=name)


def _switch(kind: Any) -> list[Any]:
    return [gr.update(visible=shown) for shown in (kind == RUN, kind == UPLOAD, kind == FOLDER, kind != RUN)]
