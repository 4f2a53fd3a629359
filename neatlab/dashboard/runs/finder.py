"""Which rows of the table are shown: those that are asked for, folded into groups or not, a hundred a page."""

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, NamedTuple

import gradio as gr

from neatlab.dashboard.runs.groups import GROUP_COLUMNS, Group, fold
from neatlab.dashboard.runs.rows import MAX_WORDS, NEWEST, ORDERS, Row, Rows, matching
from neatlab.dashboard.runs.table import COLUMNS
from neatlab.dashboard.shared.context import Context
from neatlab.dashboard.shared.html import hint
from neatlab.dashboard.shared.in_order import Turns, in_order
from neatlab.dashboard.shared.listing import Listing, choices, read_store
from neatlab.dashboard.shared.tab import LIGHT, UNCHECKED
from neatlab.runs.run import Run

MAX_ROWS = 100  # that a browser is sent
ANY_TAG, NO_GROUPS = ("any tag", ""), ("none", "")
RAW: dict[str, Any] = {**LIGHT, **UNCHECKED, "trigger_mode": "always_last"}


class Asked(NamedTuple):
    """What the page asks for, as it gives it: nothing of it is checked."""

    words: Any = ""
    order: Any = NEWEST
    tag: Any = ""
    group: Any = ""
    page: Any = 1


class Finder:
    """Filter, order, grouping and page of the table, and the rows that they leave.

    Args:
        context: What the tabs share.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._rows = Rows()
        self._turns = Turns()
        with gr.Row(elem_classes=["runs-finder"]):
            self.words = gr.Textbox(
                label="find runs",
                placeholder="rank=4 finished digits",
                max_length=MAX_WORDS,
                elem_id="runs-find",
            )
            self.order = gr.Dropdown(list(ORDERS), value=NEWEST, label="sorted by", elem_id="runs-order")
            self.tag = gr.Dropdown([ANY_TAG], value="", label="tag", elem_id="runs-tag")
            self.group = gr.Dropdown([NO_GROUPS], value="", label="group by", elem_id="runs-group")
        self.note = gr.HTML("", elem_id="runs-matching", apply_default_css=False, padding=False)
        self.table = _table(COLUMNS, "Runs; a click on a row selects it", "runs-table")
        self.groups = _table(GROUP_COLUMNS, "Groups; a click on a row selects its runs", "runs-groups")
        with gr.Row(elem_classes=["runs-pages"], visible=False) as self._pages:
            self._back = gr.Button("Back", elem_id="runs-back", size="sm", min_width=80, scale=0)
            self.page = gr.Number(1, minimum=1, precision=0, step=1, label="page", elem_id="runs-page", scale=0)
            self._more = gr.Button("More", elem_id="runs-more", size="sm", min_width=80, scale=0)

    @property
    def inputs(self) -> list[Any]:
        """What the page asks for, in the order of `Asked`."""
        return [self.words, self.order, self.tag, self.group, self.page]

    @property
    def shown(self) -> list[Any]:
        """What `find` changes."""
        return [self.table, self.groups, self.note, self.page, self._pages]

    def connect(self) -> None:
        """Attach the handlers."""
        settings = {"inputs": self.inputs, "outputs": self.shown, **RAW}
        for field in (self.words, self.order, self.tag, self.group):
            field.change(self._finding(lambda page: 1), **settings)
        self.page.input(self._finding(_number), **settings)
        self._back.click(self._finding(lambda page: _number(page) - 1), **settings)
        self._more.click(self._finding(lambda page: _number(page) + 1), **settings)

    def _finding(self, turn: Callable[[Any], int]) -> Callable[..., list[Any]]:
        """A handler; `turn` says from the page that is shown which is to be."""

        def find(words: Any, order: Any, tag: Any, group: Any, page: Any) -> list[Any]:
            listing = read_store(self._context.store, ())
            return self.find(listing, Asked(words, order, tag, group, turn(page)))

        return in_order(find, self._turns)

    def find(self, listing: Listing, asked: Asked) -> list[Any]:
        """The rows to show, or the groups in their place, and what to say of those left out.

        Args:
            listing: The runs.
            asked: What is asked for.
        """
        rows = self._matching(listing, asked)
        groups = self._fold(rows, asked)
        count = len(rows if groups is None else groups)
        pages = max(1, -(-count // MAX_ROWS))
        page = min(max(1, _number(asked.page)), pages)
        part = slice((page - 1) * MAX_ROWS, page * MAX_ROWS)
        cells = [item.cells for item in (rows if groups is None else groups)[part]]
        folded, known = groups is not None, bool(listing.runs)
        return [
            gr.update(value=[] if folded else cells, visible=known and not folded),
            gr.update(value=cells if folded else [], visible=known and folded),
            _note(len(rows), len(listing.runs), groups, page),
            gr.update(value=page, maximum=pages, label=f"page, of {pages}"),
            gr.update(visible=pages > 1),
        ]

    def group_of(self, listing: Listing, asked: Asked, cells: Any) -> Group | None:
        """The group whose row begins with these cells; None where there is none.

        Args:
            listing: The runs.
            asked: What was asked for.
            cells: The row as the page gives it.
        """
        wanted = cells[:2] if isinstance(cells, list) else None
        groups = self._fold(self._matching(listing, asked), asked) or []
        return next((group for group in groups if [group.value, group.task] == wanted), None)

    def _matching(self, listing: Listing, asked: Asked) -> list[Row]:
        words, tag, order = (str(text or "") for text in (asked.words, asked.tag, asked.order))
        return matching(self._rows.of(listing, self._context.training), words, tag, order)

    @staticmethod
    def _fold(rows: Sequence[Row], asked: Asked) -> list[Group] | None:
        """The groups; None where none are asked for, or by what is no setting."""
        setting = str(asked.group or "")
        return fold(rows, setting) if any(setting in row.settings for row in rows) else None

    def lists(self, listing: Listing, asked: Asked) -> list[Any]:
        """What `tag` and `group` offer; what is chosen stays.

        Args:
            listing: The runs.
            asked: What is chosen.
        """
        tags = sorted({tag for run in listing.runs.values() for tag in run.notes.tags})
        self._rows.of(listing, self._context.training)
        return [_choosing(ANY_TAG, tags, asked.tag), _choosing(NO_GROUPS, self._rows.varying(), asked.group)]

    @staticmethod
    def offered(listing: Listing, asked: Sequence[Run]) -> Any:
        """The list to choose from: the newest runs, and those that are selected."""
        newest = dict(islice(listing.runs.items(), MAX_ROWS)) | {run.run_id: run for run in asked}
        return gr.update(choices=choices(listing._replace(runs=newest)))


def _table(columns: Any, label: str, name: str) -> gr.Dataframe:
    return gr.Dataframe(
        headers=list(columns),
        datatype=[kind for kind, _ in columns.values()],
        column_widths=[width for _, width in columns.values()],
        type="array",
        interactive=False,
        show_search="none",
        max_height=420,
        label=label,
        elem_id=name,
        visible=False,
    )


def _choosing(none: tuple[str, str], names: Sequence[str], value: Any) -> Any:
    return gr.update(choices=[none, *((name, name) for name in names)], value=value if value in names else "")


def _number(page: Any) -> int:
    return int(page) if isinstance(page, int | float) and abs(page) < 10**9 else 1


def _note(count: int, known: int, groups: Sequence[Group] | None, page: int) -> str:
    shown = f"{count:,} of {known:,} runs match"
    if groups is not None:
        return hint(f"{shown}, in {len(groups):,} groups.")
    if count > MAX_ROWS:
        first = (page - 1) * MAX_ROWS + 1
        return hint(f"{shown}; {first:,} to {min(count, first + MAX_ROWS - 1):,} are shown.")
    return hint(f"{shown}.") if count < known else ""
