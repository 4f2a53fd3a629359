"""The Runs tab: every run of the folder in a table; those selected as curves, differences and downloads."""

from pathlib import Path
from typing import Any, ClassVar

import gradio as gr

from neatlab.dashboard.runs.delete_part import DeletePart
from neatlab.dashboard.runs.downloads import RAW, Downloads
from neatlab.dashboard.runs.finder import Finder
from neatlab.dashboard.runs.link import RunsLink
from neatlab.dashboard.runs.table import EMPTY, count_text, run_id_of, selected_texts
from neatlab.dashboard.runs.view import NOTHING, curves, difference_table, readable_runs
from neatlab.dashboard.runs.window import RunsWindow
from neatlab.dashboard.shared.context import Context, Windows
from neatlab.dashboard.shared.html import mistake
from neatlab.dashboard.shared.listing import MAX_SELECTED, Chosen, Listing, by_task, choose, read_store
from neatlab.dashboard.shared.live_plot import Chart, live_plot
from neatlab.dashboard.shared.tab import LIGHT, Tab
from neatlab.errors import BadInput

TABLE_SCRIPT = (Path(__file__).parent / "runs_table.js").read_text(encoding="utf-8")
FOLLOW = "(runs) => { window.neatlabPick?.(runs ?? []); window.neatlabSetLink?.({ run: runs ?? [] }); }"


class RunsTab(Tab[RunsLink]):
    """Table above; what is selected in it below."""

    name: ClassVar[str] = "runs"
    title: ClassVar[str] = "Runs"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._windows: Windows[RunsWindow] = Windows(RunsWindow)
        self._holder = gr.context.Context.block
        self._table_part()
        self._selection_part()
        self._result = gr.HTML(
            "", elem_id="runs-result", elem_classes=["message"], apply_default_css=False, render=False
        )
        with gr.Row(elem_classes=["runs-actions"]):
            self._downloads = Downloads(context, self._windows, self._result)
            self._delete = DeletePart(context, self._windows, self._result)
        self._result.render()
        self.fields = {"run": self._chosen}

    def _table_part(self) -> None:
        with gr.Row(elem_classes=["runs-head"]):
            self._count = gr.HTML("", elem_id="runs-count", apply_default_css=False, padding=False)
            self._refresh = gr.Button("Refresh", elem_id="runs-refresh", size="sm", min_width=90, scale=0)
        self._empty = gr.HTML("", js_on_load=TABLE_SCRIPT, elem_id="runs-empty", apply_default_css=False)
        self._finder = Finder(self.context)
        self._table = self._finder.table

    def _selection_part(self) -> None:
        self._chosen = gr.Dropdown(
            [],
            value=[],
            multiselect=True,
            max_choices=MAX_SELECTED,
            allow_custom_value=True,
            label="selected runs",
            info=f"At most {MAX_SELECTED}: click rows above, or type here to find a run.",
            elem_id="runs-chosen",
        )
        self._message = gr.HTML("", elem_id="runs-message", elem_classes=["message"], apply_default_css=False)
        self._task = gr.Dropdown([], label="task drawn", elem_id="runs-task", visible=False, interactive=True)
        invitation = "Select runs to lay their curves over another."
        self._curves = live_plot(Chart("runs-curves", "Loss and metric", invitation, 440))
        self._differences = gr.HTML(NOTHING, elem_id="runs-differences", apply_default_css=False)

    @property
    def _shown(self) -> list[Any]:
        """What a selection changes, in the order of `_show`."""
        view = [self._message, self._task, self._curves, self._differences]
        return [
            self._count,
            self._empty,
            self._table,
            *view,
            *self._downloads.shown,
            self._delete.button,
            self._delete.confirmation,
        ]

    def read_link(self, link: RunsLink, session: str | None) -> list[Any]:
        self._windows.get(session).selected = None
        return super().read_link(link, session)

    def connect(self, demo: gr.Blocks) -> None:
        """Attach the handlers."""
        looked: dict[str, Any] = {**RAW, "trigger_mode": "always_last"}
        given = [self._chosen, self._task, self._downloads.run, self._downloads.format]
        anew: dict[str, Any] = {
            "fn": self._renew,
            "inputs": [*given, self._finder.words, self._finder.order],
            "outputs": [self._chosen, self._finder.note, *self._shown],
            **looked,
        }
        self._finder.connect(self._find, [self._table, self._finder.note])
        if isinstance(self._holder, gr.Tab):
            self._holder.select(**anew)
        self._refresh.click(**anew)
        # Every click counts, those too that come before the page has drawn the click before.
        self._table.select(self._toggle, self._chosen, [self._chosen, self._message], **LIGHT, trigger_mode="multiple")
        self._chosen.input(self._choose, None, None, **LIGHT)
        self._chosen.change(self._show, given, self._shown, **looked)
        self._chosen.change(None, self._chosen, None, js=FOLLOW)
        self._task.input(self._draw, [self._chosen, self._task], self._curves, **looked)
        self._downloads.connect(self._chosen)
        self._delete.connect(self._chosen, anew)
        demo.unload(self._close)

    def _chosen_now(self, given: Any, check: bool = False) -> tuple[Listing, Chosen]:
        """The store, every run compared with the disk or only those selected; and what of it is selected."""
        listing = read_store(self.context.store, None if check else selected_texts(given))
        try:
            return listing, choose(listing, given)
        except BadInput as error:
            return listing, Chosen([], [str(error)])

    def _renew(
        self, given: Any, task: Any, run_id: Any, format: Any, words: Any, order: Any, request: gr.Request
    ) -> list[Any]:
        """Everything anew; the selection stays, the list to choose from may have grown."""
        listing, (asked, _) = self._chosen_now(given, check=True)
        shown = self._show(given, task, run_id, format, request)
        shown_rows, note = self._finder.find(listing, words, order)
        table = gr.update(value=shown_rows, visible=bool(listing.runs))
        index = self._shown.index(self._table)
        return [self._finder.offered(listing, asked), note, *shown[:index], table, *shown[index + 1 :]]

    def _find(self, words: Any, order: Any) -> list[Any]:
        """The rows that are asked for."""
        return list(self._finder.find(read_store(self.context.store, ()), words, order))

    def _show(self, given: Any, task: Any, run_id: Any, format: Any, request: gr.Request) -> list[Any]:
        listing, (asked, problems) = self._chosen_now(given)
        self._windows.get(request.session_hash).asked = ()
        runs, broken = readable_runs(asked)
        groups = by_task(runs)
        at = str(task) if str(task) in groups else next(iter(groups), None)
        messages = "".join(mistake(text) for text in (*problems, *broken))
        return [
            count_text(listing, len(runs)),
            "" if listing.runs else EMPTY,
            gr.update(),  # a thousand rows are not sent again for a click; the page marks those selected
            messages,
            gr.update(choices=list(groups), value=at, visible=len(groups) > 1),
            curves(groups.get(at or "", [])),
            difference_table(runs),
            *self._downloads.show(runs, run_id, format),
            gr.update(interactive=bool(asked)),
            gr.update(visible=False),
        ]

    def _draw(self, given: Any, task: Any) -> str | None:
        _, (asked, _) = self._chosen_now(given)
        return curves(by_task(readable_runs(asked).runs).get(str(task), []))

    def _toggle(self, given: Any, event: gr.SelectData, request: gr.Request) -> list[Any]:
        """Select the row's run, or take it away."""
        window, run_id = self._windows.get(request.session_hash), run_id_of(event.row_value)
        try:
            return [gr.update(value=window.toggle(given, run_id)) if run_id else gr.update(), ""]
        except BadInput as error:
            return [gr.update(), mistake(str(error))]

    def _choose(self, request: gr.Request) -> None:  # the list was changed by hand: what it shows counts
        self._windows.get(request.session_hash).selected = None

    def _close(self, request: gr.Request) -> None:
        if window := self._windows.end(request.session_hash):
            window.files.close()
