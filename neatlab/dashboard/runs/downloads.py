"""The Runs tab's downloads: tables, reports and notebooks at once, adapters and scripts by a process of their own."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from neatlab.dashboard.runs.files import write_comparison, write_csv, write_notebook
from neatlab.dashboard.runs.view import readable_runs
from neatlab.dashboard.runs.window import RunsWindow
from neatlab.dashboard.shared.context import Context, Windows
from neatlab.dashboard.shared.download_folder import DownloadFolder
from neatlab.dashboard.shared.entries import EXPORT, REPLAY
from neatlab.dashboard.shared.follow import follow, queue_text, stopping
from neatlab.dashboard.shared.html import doing, mistake
from neatlab.dashboard.shared.job import Job
from neatlab.dashboard.shared.listing import read_store, require_runs, run_text
from neatlab.dashboard.shared.tab import LIGHT, LONG, UNCHECKED
from neatlab.errors import BadInput, NeatlabError
from neatlab.export.formats import export_note, file_name, formats
from neatlab.runs.run import Run
from neatlab.runs.store import Store
from neatlab.runtime.templates import macros

_HTML = macros(__file__)
RAW = LIGHT | UNCHECKED
NOTHING_YET = "Save again"
NO_FILE = gr.update(value=None, interactive=False, label=NOTHING_YET)
Order = tuple[str, tuple[Any, ...], Path]  # what the process calls, with what, and the file that it writes
Writer = Callable[[Sequence[Run], Store, DownloadFolder], Path]
FILES: dict[str, tuple[str, Writer]] = {  # name → text on its button, what writes it
    "csv": ("CSV", write_csv),
    "report": ("HTML report", write_comparison),
    "notebook": ("Notebook", write_notebook),
}
# After a refusal the button in the page may still hold the file before.
SAVE = """(file, said) => {
  if (!file?.url || said.includes("alert")) return;
  const link = document.createElement("a");
  link.href = file.url;
  link.download = file.orig_name ?? "";
  document.body.append(link);
  link.click();
  link.remove();
}"""


class Downloads:
    """Buttons for the files of the selected runs.

    Args:
        context: What the tabs share.
        windows: The state of each browser window.
        result: Where the outcome is said.
    """

    def __init__(self, context: Context, windows: Windows[RunsWindow], result: gr.HTML) -> None:
        self._context, self._windows, self._result = context, windows, result
        with gr.Column(min_width=300):
            gr.HTML(_HTML.heading(), apply_default_css=False, padding=False)
            with gr.Row(elem_classes=["runs-buttons"]):
                self._files = {
                    name: gr.Button(text, elem_id=f"runs-{name}", size="sm", min_width=80, interactive=False)
                    for name, (text, _) in FILES.items()
                }
                self._replay = gr.Button("Replay", elem_id="runs-replay", size="sm", min_width=80, interactive=False)
            with gr.Row(elem_classes=["runs-adapter"]):
                self.run = gr.Dropdown([], label="adapter of run", elem_id="runs-run", interactive=True)
                self.format = gr.Dropdown([], label="written as", elem_id="runs-format", interactive=True)
                self._adapter = gr.Button("Adapter (zip)", elem_id="runs-adapter", size="sm", interactive=False)
                self._script = gr.Button("Script (py)", elem_id="runs-script", size="sm", interactive=False)
            self._file = gr.DownloadButton(NOTHING_YET, elem_id="runs-file", size="sm", interactive=False)

    @property
    def shown(self) -> list[Any]:
        """What a selection changes, in the order of `show`."""
        return [self.run, self.format, *self._files.values(), self._replay, self._adapter, self._script]

    def show(self, runs: Sequence[Run], run_id: Any, format: Any) -> list[Any]:
        """Offer what there is of the selected runs; what was chosen stays if it still can.

        Args:
            runs: Those selected.
            run_id: Whose adapter is chosen.
            format: In which form.
        """
        ended = {run.run_id: run for run in runs if run.status == "finished"}
        at = str(run_id) if str(run_id) in ended else next(iter(ended), None)
        return [
            gr.update(choices=[(run_text(run), i) for i, run in ended.items()], value=at),
            _formats(ended.get(at or ""), format),
            *(gr.update(interactive=bool(runs)) for _ in (*self._files, self._replay)),
            gr.update(interactive=bool(ended)),
            gr.update(interactive=bool(ended)),
        ]

    def connect(self, chosen: gr.Dropdown) -> None:
        """Attach the handlers.

        Args:
            chosen: The selected runs.
        """
        outputs = [self._file, self._result]
        made = [button.click(self._maker(name), chosen, outputs, **LONG) for name, button in self._files.items()]
        made.append(self._replay.click(self._export_replay, chosen, outputs, **LONG))
        made.append(self._adapter.click(self._export, [self.run, self.format], outputs, **UNCHECKED, **LONG))
        made.append(self._script.click(self._export_script, self.run, outputs, **UNCHECKED, **LONG))
        for event in made:
            event.then(None, outputs, None, js=SAVE)
        self.run.input(self._offer, [self.run, self.format], self.format, **RAW)

    def _offer(self, run_id: Any, format: Any) -> Any:
        return _formats(read_store(self._context.store).runs.get(str(run_id)), format)

    def _maker(self, name: str) -> Any:
        text, write = FILES[name]

        def make(given: Any, request: gr.Request) -> Iterator[list[Any]]:
            yield [NO_FILE, doing(f"Writing the {text}.")]
            try:
                runs = readable_runs(require_runs(read_store(self._context.store), given)).runs
                yield _made(write(runs, self._context.store, self._windows.get(request.session_hash).files))
            except (NeatlabError, OSError) as error:
                yield [NO_FILE, mistake(str(error))]

        return make

    async def _export_script(self, run_id: Any, request: gr.Request) -> AsyncIterator[list[Any]]:
        """What trains the arm on the visitor's own model."""
        async for shown in self._export(run_id, "peft", request):
            yield shown

    async def _export(self, run_id: Any, format: Any, request: gr.Request) -> AsyncIterator[list[Any]]:
        """The adapter or script, written by a process of its own."""

        def order(window: RunsWindow) -> Order:
            run = require_runs(read_store(self._context.store), [run_id])[0]
            target = window.files.new_path(file_name(run, format))
            return EXPORT, (run.run_id, str(format), str(target)), target

        async for shown in self._written(order, request):
            yield shown

    async def _export_replay(self, given: Any, request: gr.Request) -> AsyncIterator[list[Any]]:
        """The selected runs as one page with a slider through time."""

        def order(window: RunsWindow) -> Order:
            ids = tuple(run.run_id for run in require_runs(read_store(self._context.store), given))
            target = window.files.new_path("neatlab-replay.html")
            return REPLAY, (ids, str(target)), target

        async for shown in self._written(order, request):
            yield shown

    async def _written(self, order: Callable[[RunsWindow], Order], request: gr.Request) -> AsyncIterator[list[Any]]:
        """What a process of its own writes.

        Args:
            order: Says what, for the window; raises BadInput where that cannot be.
            request: Who asks.
        """
        window = self._windows.get(request.session_hash)
        try:
            job, target = await asyncio.to_thread(self._submit, window, order, request.session_hash)
        except (NeatlabError, OSError) as error:
            yield [NO_FILE, mistake(str(error))]
            return
        try:
            with stopping(self._context.jobs, job):
                async for position in follow(self._context.jobs, job):
                    yield [NO_FILE, doing(queue_text(position, f"Writing {target.name}."))]
        finally:
            window.job = None
        if target.exists():
            yield _made(target, export_note(target))
        else:
            yield [NO_FILE, mistake(str(job.refusal or "nothing was written: the process was stopped"))]

    def _submit(
        self, window: RunsWindow, order: Callable[[RunsWindow], Order], session: str | None
    ) -> tuple[Job, Path]:
        """Queue the writing of a file; returns the job and the file to be.

        Raises:
            BadInput: No such run or format, or a window that has one written already.
        """
        if window.job is not None:
            raise BadInput("a file is being written for this window already; wait for it")
        entry, what, target = order(window)
        window.job = self._context.jobs.submit(entry, what, brief=True, visitor=self._context.visitors.of(session))
        return window.job, target


def _formats(run: Run | None, format: Any) -> Any:
    names = formats(run) if run else ()
    return gr.update(choices=list(names), value=format if format in names else next(iter(names), None))


def _made(path: Path, note: str = "") -> list[Any]:
    size = f"{path.stat().st_size / 1000:,.0f} kB"
    return [
        gr.update(value=str(path), interactive=True, label=f"Save {path.name} again"),
        doing(f"{path.name}, {size}.{note}"),
    ]
