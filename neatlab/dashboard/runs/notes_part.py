"""The Runs tab's tags and notes: those of the selected runs, to be changed by whoever may delete them."""

from collections.abc import Sequence
from typing import Any

import gradio as gr

from neatlab.dashboard.runs.delete import check_own
from neatlab.dashboard.runs.finder import RAW, Asked, Finder
from neatlab.dashboard.runs.table import selected_texts
from neatlab.dashboard.runs.window import RunsWindow
from neatlab.dashboard.shared.context import Context, Windows
from neatlab.dashboard.shared.html import doing, mistake, plural
from neatlab.dashboard.shared.listing import read_store, require_runs
from neatlab.errors import NeatlabError
from neatlab.runs.notes import MAX_NOTE, MAX_TAGS, checked_note, checked_tags
from neatlab.runs.run import Run
from neatlab.runtime.templates import macros

_HTML = macros(__file__)
MAX_TAG_TEXT = MAX_TAGS * 41  # characters: forty a tag, and what parts it from the next


class NotesPart:
    """The part of the tab that says something of runs.

    Args:
        context: What the tabs share.
        windows: The state of each browser window.
        finder: The table that shows it.
        result: Where the outcome is said.
    """

    def __init__(self, context: Context, windows: Windows[RunsWindow], finder: Finder, result: gr.HTML) -> None:
        self._context, self._windows, self._finder, self._result = context, windows, finder, result
        with gr.Column(min_width=300, elem_classes=["runs-notes"]):
            gr.HTML(_HTML.heading(), apply_default_css=False, padding=False)
            self._tags = gr.Textbox(
                label="tags that all selected have",
                placeholder="baseline to-check",
                max_length=MAX_TAG_TEXT,
                elem_id="runs-tags",
                interactive=False,
            )
            self._note = gr.Textbox(
                label="note", lines=2, max_lines=8, max_length=MAX_NOTE, elem_id="runs-note", interactive=False
            )
            self._save = gr.Button("Save", elem_id="runs-save", size="sm", interactive=False)

    @property
    def shown(self) -> list[Any]:
        """What a selection changes, in the order of `show`."""
        return [self._tags, self._note, self._save]

    def show(self, runs: Sequence[Run], session: str | None) -> list[Any]:
        """What is said of these runs.

        What the window shows of them already stays as it is: somebody may be changing it.

        Args:
            runs: Those selected.
            session: The window's session hash.
        """
        window, described = self._windows.get(session), {run.run_id: run.notes for run in runs}
        if window.described == described:
            return [gr.skip()] * len(self.shown)
        window.described = described
        is_mixed = len({run.notes.note for run in runs}) > 1
        hint = "The selected runs have different notes; text here replaces them." if is_mixed else ""
        enabled = gr.update(interactive=bool(runs))
        return [
            enabled | {"value": " ".join(_shared_tags(runs))},
            enabled | {"value": _shared_note(runs), "placeholder": hint},
            enabled,
        ]

    def connect(self, chosen: gr.Dropdown) -> None:
        """Attach the handlers.

        Args:
            chosen: The selected runs.
        """
        outputs = [self._result, *self.shown, self._finder.tag, self._finder.group, *self._finder.shown]
        self._save.click(self._keep, [chosen, self._tags, self._note, *self._finder.inputs], outputs, **RAW)

    def _keep(
        self,
        given: Any,
        tags: Any,
        note: Any,
        words: Any,
        order: Any,
        tag: Any,
        group: Any,
        page: Any,
        request: gr.Request,
    ) -> list[Any]:
        """Write what the page says, and show it in the table; what is refused stays in its fields."""
        try:
            runs = require_runs(read_store(self._context.store, selected_texts(given)), given)
            check_own(*self._own(runs, request), "tag it or write its note")
            said = self._write(runs, tags, note)
        except NeatlabError as error:
            return [mistake(str(error)), *[gr.skip()] * (len(self.shown) + 2 + len(self._finder.shown))]
        listing, asked = read_store(self._context.store, selected_texts(given)), Asked(words, order, tag, group, page)
        runs = [listing.runs[run.run_id] for run in runs if run.run_id in listing.runs]
        lists = self._finder.lists(listing, asked)
        self._windows.get(request.session_hash).described = {}  # the fields show what was made of what they held
        return [
            said,
            *self.show(runs, request.session_hash),
            *lists,
            *self._finder.find(listing, asked._replace(tag=lists[0]["value"])),
        ]

    def _own(self, runs: Sequence[Run], request: gr.Request) -> tuple[list[str], list[str]]:
        """The ids, and those that are not the visitor's."""
        ids, session, user = [run.run_id for run in runs], request.session_hash, request.username
        return ids, [run_id for run_id in ids if not self._context.may_delete(run_id, session, user)]

    def _write(self, runs: Sequence[Run], tags: Any, note: Any) -> str:
        """Give the runs what was added, and take what was removed.

        Raises:
            NeatlabError: What is refused; runs before that one are changed.
        """
        wanted = set(checked_tags(str(tags or "").replace(",", " ").split()))
        text, shared = checked_note(str(note or "")), set(_shared_tags(runs))
        changed = text if text != _shared_note(runs) else None
        for run in runs:
            self._context.store.annotate(run.run_id, wanted - shared, shared - wanted, changed)
        return doing(f"Tags and note of {plural(len(runs), 'run')} saved.")


def _shared_tags(runs: Sequence[Run]) -> list[str]:
    """The tags that all of these have."""
    return sorted(set.intersection(*(set(run.notes.tags) for run in runs))) if runs else []


def _shared_note(runs: Sequence[Run]) -> str:
    """The note that all of these have; empty where they differ."""
    notes = {run.notes.note for run in runs}
    return notes.pop() if len(notes) == 1 else ""
