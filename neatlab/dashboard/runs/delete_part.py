"""The Runs tab's deletion: a button, a question, and what was asked about deleted."""

from collections.abc import Sequence
from typing import Any

import gradio as gr

from neatlab.dashboard.runs.delete import asking, delete_runs
from neatlab.dashboard.runs.table import selected_texts
from neatlab.dashboard.runs.window import RunsWindow
from neatlab.dashboard.shared.context import Context, Windows
from neatlab.dashboard.shared.html import mistake
from neatlab.dashboard.shared.listing import read_store, require_runs
from neatlab.dashboard.shared.tab import LIGHT
from neatlab.errors import NeatlabError
from neatlab.runs.run import Run
from neatlab.runtime.templates import macros

_HTML = macros(__file__)
FOCUS = "() => { setTimeout(() => document.querySelector('#runs-no')?.focus(), 100); }"


class DeletePart:
    """The part of the tab that deletes runs.

    Args:
        context: What the tabs share.
        windows: The state of each browser window.
        result: Where the outcome is said.
    """

    def __init__(self, context: Context, windows: Windows[RunsWindow], result: gr.HTML) -> None:
        self._context, self._windows, self._result = context, windows, result
        with gr.Column(min_width=300, elem_classes=["runs-delete"]):
            gr.HTML(_HTML.heading(), apply_default_css=False, padding=False)
            self.button = gr.Button("Delete…", elem_id="runs-delete", size="sm", interactive=False)
            with gr.Column(visible=False, elem_id="runs-sure") as self.confirmation:
                self._question = gr.HTML("", elem_id="runs-question", apply_default_css=False)
                with gr.Row():
                    self._yes = gr.Button("Delete", variant="stop", elem_id="runs-yes", size="sm", min_width=90)
                    self._no = gr.Button("Keep", elem_id="runs-no", size="sm", min_width=90)

    @property
    def shown(self) -> list[Any]:
        """What a selection changes, in the order of `show`."""
        return [self.button, self.confirmation]

    def show(self, runs: Sequence[Run], session: str | None) -> list[Any]:
        """The button and the question for a selection.

        A question about these very runs stays: what is shown anew may arrive after it was asked.

        Args:
            runs: What is selected.
            session: The window's session hash.
        """
        window, ids = self._windows.get(session), {run.run_id for run in runs}
        is_other = bool(window.asked) and set(window.asked) != ids
        if is_other:
            window.asked = ()
        return [gr.update(interactive=bool(runs)), gr.update(visible=False) if is_other else gr.update()]

    def connect(self, chosen: gr.Dropdown, renew: dict[str, Any]) -> None:
        """Attach the handlers.

        Args:
            chosen: The selected runs.
            renew: Function, inputs, outputs and settings that show the table anew.
        """
        asked = self.button.click(self._ask, chosen, [self._result, self.confirmation, self._question], **LIGHT)
        asked.then(None, None, None, js=FOCUS)
        self._no.click(self._keep, None, self.confirmation, **LIGHT)
        gone = self._yes.click(self._confirm, chosen, [chosen, self._result, self.confirmation], **LIGHT)
        gone.then(**renew)

    def _ask(self, given: Any, request: gr.Request) -> list[Any]:
        """Say what would be deleted."""
        window = self._windows.get(request.session_hash)
        try:
            runs = require_runs(read_store(self._context.store), given)
            ids, question = asking(runs, self._context.training, self._foreign(runs, request))
        except NeatlabError as error:
            return [mistake(str(error)), gr.update(visible=False), ""]
        window.asked = ids
        return ["", gr.update(visible=True), question]

    def _foreign(self, runs: Sequence[Run], request: gr.Request) -> list[str]:
        """Ids of those that the visitor may not delete."""
        session, user = request.session_hash, request.username
        return [run.run_id for run in runs if not self._context.may_delete(run.run_id, session, user)]

    def _keep(self, request: gr.Request) -> Any:
        self._windows.get(request.session_hash).asked = ()
        return gr.update(visible=False)

    def _confirm(self, given: Any, request: gr.Request) -> list[Any]:
        """Delete what was asked about, and nothing else."""
        window = self._windows.get(request.session_hash)
        asked, window.asked, window.selected = window.asked, (), None
        gone, outcome = delete_runs(self._context.store, asked, self._context.training)
        left = [item for item in selected_texts(given) if item not in gone]
        return [gr.update(value=left), outcome, gr.update(visible=False)]
