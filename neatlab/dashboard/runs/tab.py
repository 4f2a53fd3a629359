"""The Runs tab: every run of the folder in a table; those selected as curves, differences and downloads."""

from pathlib import Path
from typing import Any, ClassVar

import gradio as gr

from neatlab.dashboard.runs.delete_part import DeletePart
from neatlab.dashboard.runs.downloads import RAW, Downloads
from neatlab.dashboard.runs.finder import Asked, Finder
from neatlab.dashboard.runs.groups import Group
from neatlab.dashboard.runs.link import RunsLink
from neatlab.dashboard.runs.notes_part import NotesPart
from neatlab.dashboard.runs.selection_part import SelectionPart, chosen_now
from neatlab.dashboard.runs.suite_part import SuitePart
from neatlab.dashboard.runs.table import EMPTY, count_text, run_id_of
from neatlab.dashboard.runs.view import readable_runs
from neatlab.dashboard.runs.window import RunsWindow
from neatlab.dashboard.shared.context import Context, Windows
from neatlab.dashboard.shared.html import doing, mistake, plural
from neatlab.dashboard.shared.in_order import in_order
from neatlab.dashboard.shared.listing import MAX_SELECTED, Chosen, Listing, read_store
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
        self._selection = SelectionPart(context)
        self._chosen = self._selection.chosen
        self._result = gr.HTML(
            "", elem_id="runs-result", elem_classes=["message"], apply_default_css=False, render=False
        )
        with gr.Row(elem_classes=["runs-actions"]):
            self._downloads = Downloads(context, self._windows, self._result)
            self._notes = NotesPart(context, self._windows, self._finder, self._result)
            self._delete = DeletePart(context, self._windows, self._result)
        self._result.render()
        self.fields = {"run": self._chosen}

    def _table_part(self) -> None:
        with gr.Row(elem_classes=["runs-head"]):
            self._count = gr.HTML("", elem_id="runs-count", apply_default_css=False, padding=False)
            self._refresh = gr.Button("Refresh", elem_id="runs-refresh", size="sm", min_width=90, scale=0)
        self._empty = gr.HTML("", js_on_load=TABLE_SCRIPT, elem_id="runs-empty", apply_default_css=False)
        self._suite = SuitePart(self.context)
        self._finder = Finder(self.context)

    @property
    def _shown(self) -> list[Any]:
        """What a selection changes, in the order of `_show`."""
        parts = (self._selection, self._downloads, self._notes)
        shown = [component for part in parts for component in part.shown]
        return [self._count, self._empty, *shown, *self._delete.shown]

    def read_link(self, link: RunsLink, session: str | None) -> list[Any]:
        self._windows.get(session).selected = None
        return super().read_link(link, session)

    def connect(self, demo: gr.Blocks) -> None:
        """Attach the handlers."""
        looked: dict[str, Any] = {**RAW, "trigger_mode": "always_last"}
        given = [self._chosen, self._selection.task, self._selection.cost, self._downloads.run, self._downloads.format]
        anew: dict[str, Any] = {
            "fn": self._renew,
            "inputs": [*given, *self._finder.inputs],
            "outputs": [self._chosen, self._finder.tag, self._finder.group, *self._finder.shown, *self._shown],
            **looked,
        }
        opened = [self._holder.select] if isinstance(self._holder, gr.Tab) else []
        for event in (*opened, self._refresh.click):
            event(**anew).then(self._suite.look, None, self._suite.part, **LIGHT)
        self._suite.connect()
        self._connect_tables()
        self._chosen.input(self._choose, None, None, **LIGHT)
        self._chosen.change(in_order(self._show), given, self._shown, **looked)
        self._chosen.change(None, self._chosen, None, js=FOLLOW)
        for part in (self._finder, self._selection):
            part.connect()
        self._downloads.connect(self._chosen)
        self._notes.connect(self._chosen)
        self._delete.connect(self._chosen, anew)
        demo.unload(self._close)

    def _connect_tables(self) -> None:
        # Every click counts, those too that come before the page has drawn the click before.
        every: dict[str, Any] = {**LIGHT, "trigger_mode": "multiple"}
        outputs = [self._chosen, self._selection.message]
        self._finder.table.select(self._toggle, self._chosen, outputs, **every)
        outputs = [self._chosen, self._finder.note]
        self._finder.groups.select(self._choose_group, self._finder.inputs, outputs, **every | RAW)

    def _renew(
        self,
        given: Any,
        task: Any,
        cost: Any,
        run_id: Any,
        format: Any,
        words: Any,
        order: Any,
        tag: Any,
        group: Any,
        page: Any,
        request: gr.Request,
    ) -> list[Any]:
        """Everything anew; the selection stays, the list to choose from may have grown."""
        listing, selection = chosen_now(self.context, given, check=True)
        tags, groups = self._finder.lists(listing, Asked(words, order, tag, group, page))
        asked = Asked(words, order, tags["value"], groups["value"], page)
        shown = self._view(listing, selection, task, cost, run_id, format, request)
        offered = self._finder.offered(listing, selection.runs)
        return [offered, tags, groups, *self._finder.find(listing, asked), *shown]

    def _show(self, given: Any, task: Any, cost: Any, run_id: Any, format: Any, request: gr.Request) -> list[Any]:
        return self._view(*chosen_now(self.context, given), task, cost, run_id, format, request)

    def _view(
        self,
        listing: Listing,
        selection: Chosen,
        task: Any,
        cost: Any,
        run_id: Any,
        format: Any,
        request: gr.Request,
    ) -> list[Any]:
        runs, broken = readable_runs(selection.runs)
        return [
            count_text(listing, len(runs)),
            "" if listing.runs else EMPTY,
            *self._selection.show(Chosen(runs, [*selection.problems, *broken]), task, cost),
            *self._downloads.show(runs, run_id, format),
            *self._notes.show(selection.runs, request.session_hash),
            *self._delete.show(selection.runs, request.session_hash),
        ]

    def _choose_group(
        self, words: Any, order: Any, tag: Any, group: Any, page: Any, event: gr.SelectData, request: gr.Request
    ) -> list[Any]:
        """Select a group's runs in place of those selected before, as many as can be shown together."""
        listing = read_store(self.context.store, ())
        members = self._finder.group_of(listing, Asked(words, order, tag, group, page), event.row_value)
        if members is None:
            return [gr.skip(), mistake("this group is not there any more; press Refresh")]
        runs = members.runs[:MAX_SELECTED]
        self._windows.get(request.session_hash).selected = None
        update = self._finder.offered(listing, runs) | {"value": [run.run_id for run in runs]}
        return [update, doing(_group_text(members, len(runs)))]

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


def _group_text(group: Group, count: int) -> str:
    said = f"{plural(count, 'run')} of group {group.value} selected"
    if count == len(group.runs):
        return f"{said}."
    return f"{said}, the first of {len(group.runs):,}; {MAX_SELECTED} are shown together."
