"""Which rows of the table are shown: those that hold all words asked for, sorted by a column, the first hundred."""

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

import gradio as gr

from neatlab.dashboard.runs.table import COLUMNS, row
from neatlab.dashboard.shared.context import Context
from neatlab.dashboard.shared.html import hint
from neatlab.dashboard.shared.listing import Listing, choices
from neatlab.dashboard.shared.tab import LIGHT, UNCHECKED
from neatlab.runs.run import Run

MAX_ROWS = 100  # that a browser is sent
MAX_WORDS = 200  # characters of a filter
NEWEST = "newest first"
ORDERS = (NEWEST, *(f"{name} {arrow}" for name in COLUMNS if name != "run" for arrow in "↑↓"))
Row = tuple[list[Any], str]  # cells, and the text that a filter looks through


class Finder:
    """The filter and the order of the table, and the rows that they leave.

    Args:
        context: What the tabs share.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._rows: dict[str, tuple[Run, Row]] = {}
        with gr.Row(elem_classes=["runs-finder"]):
            self.words = gr.Textbox(
                label="find runs",
                placeholder="rank=4 finished digits",
                max_length=MAX_WORDS,
                elem_id="runs-find",
            )
            self.order = gr.Dropdown(list(ORDERS), value=NEWEST, label="sorted by", elem_id="runs-order")
        self.note = gr.HTML("", elem_id="runs-matching", apply_default_css=False, padding=False)
        self.table = gr.Dataframe(
            headers=list(COLUMNS),
            datatype=[kind for kind, _ in COLUMNS.values()],
            column_widths=[width for _, width in COLUMNS.values()],
            type="array",
            interactive=False,
            show_search="none",
            max_height=420,
            label="Runs; a click on a row selects it",
            elem_id="runs-table",
            visible=False,
        )

    def connect(self, function: Callable[..., Any], outputs: list[Any]) -> None:
        """Attach the handlers.

        Args:
            function: Given words and order, returns what `outputs` become.
            outputs: What changes.
        """
        settings: dict[str, Any] = {**LIGHT, **UNCHECKED, "trigger_mode": "always_last"}
        for event in (self.words.change, self.order.input):
            event(function, [self.words, self.order], outputs, **settings)

    def find(self, listing: Listing, words: Any, order: Any) -> tuple[list[list[Any]], str]:
        """The rows to show, and what to say of those left out.

        Args:
            listing: The runs.
            words: Filter as the page gives it.
            order: One of ORDERS; anything else is the first.
        """
        training = self._context.training
        known = {run_id: self._row(run, run_id in training) for run_id, run in listing.runs.items()}
        self._rows = {run_id: (listing.runs[run_id], row) for run_id, row in known.items()}
        wanted = str(words or "")[:MAX_WORDS].lower().split()
        matching = _ordered([cells for cells, text in known.values() if _matches(text, wanted)], str(order))
        return matching[:MAX_ROWS], _note(len(matching), len(known))

    @staticmethod
    def offered(listing: Listing, asked: Sequence[Run]) -> Any:
        """The list to choose from: the newest runs, and those that are selected."""
        newest = dict(islice(listing.runs.items(), MAX_ROWS)) | {run.run_id: run for run in asked}
        return gr.update(choices=choices(listing._replace(runs=newest)))

    def _row(self, run: Run, training: bool) -> Row:
        before = self._rows.get(run.run_id)
        if before and run.summary and before[0].config is run.config and before[0].summary is run.summary:
            return before[1]
        cells = row(run, training)
        return cells, _text(run, cells)


def _text(run: Run, cells: list[Any]) -> str:
    config = run.config
    settings = {**config.task_options, **config.arm.options, **config.training.model_dump(), "seed": config.seed}
    pairs = (f"{name}={value}" for name, value in settings.items())
    return f" {' '.join([*map(str, cells), *pairs])} ".lower()


def _matches(text: str, words: list[str]) -> bool:
    """Whether all words are in the text; a setting only as a whole, for rank=4 is not rank=40."""
    return all((f" {word} " if "=" in word else word) in text for word in words)


def _ordered(rows: list[list[Any]], order: str) -> list[list[Any]]:
    """The rows by a column; those without a value come last, and equal ones stay newest first."""
    if order not in ORDERS or order == NEWEST:
        return rows
    column = list(COLUMNS).index(order[:-2])
    valued = [cells for cells in rows if cells[column] is not None]
    empty = [cells for cells in rows if cells[column] is None]
    return sorted(valued, key=lambda cells: cells[column], reverse=order.endswith("↓")) + empty


def _note(matching: int, known: int) -> str:
    if matching > MAX_ROWS:
        return hint(f"{matching:,} of {known:,} runs match; the first {MAX_ROWS} are shown.")
    return hint(f"{matching:,} of {known:,} runs match.") if matching < known else ""
