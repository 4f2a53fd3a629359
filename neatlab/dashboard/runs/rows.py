"""The rows of the table: each made once, found by words, tag and settings, and sorted by a column."""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from neatlab.dashboard.runs.table import COLUMNS, row
from neatlab.dashboard.shared.listing import Listing
from neatlab.runs.run import Run

MAX_WORDS = 200  # characters of a filter
NEWEST = "newest first"
ORDERS = (NEWEST, *(f"{name} {arrow}" for name in COLUMNS if name not in ("run", "note") for arrow in "↑↓"))


class Row(NamedTuple):
    """A run as the table knows it.

    Args:
        run: The run.
        cells: What stands in the columns.
        text: What a filter looks through.
        settings: Setting → value, by which runs are grouped.
    """

    run: Run
    cells: list[Any]
    text: str
    settings: dict[str, str]


class Rows:
    """The rows of a folder's runs, newest first, each made once and again when its run has changed."""

    def __init__(self) -> None:
        self._known: dict[str, Row] = {}
        self._varying: tuple[frozenset[str], list[str]] = frozenset(), []

    def of(self, listing: Listing, training: Collection[str]) -> list[Row]:
        """The rows of all runs.

        Args:
            listing: The runs.
            training: Ids of those that this server trains now.
        """
        self._known = {run_id: self._row(run, run_id in training) for run_id, run in listing.runs.items()}
        return list(self._known.values())

    def varying(self) -> list[str]:
        """The settings that are not the same in all runs that were given last, by which they can be grouped."""
        ids = frozenset(self._known)  # which say what the settings are
        if ids != self._varying[0]:
            self._varying = ids, _varying([row.settings for row in self._known.values()])
        return self._varying[1]

    def _row(self, run: Run, training: bool) -> Row:
        before = self._known.get(run.run_id)
        if before and run.summary and _is_same(before.run, run):
            return before
        cells, settings = row(run, training), _settings(run)
        pairs = [f"{name}={value}" for name, value in settings.items()] + [f"tag={tag}" for tag in run.notes.tags]
        return Row(run, cells, f" {' '.join([*map(str, cells), run.notes.note, *pairs])} ".lower(), settings)


def _varying(settings: Sequence[dict[str, str]]) -> list[str]:
    names = dict.fromkeys(name for values in settings for name in values)
    return [name for name in names if len({values.get(name) for values in settings}) > 1]


def _is_same(before: Run, now: Run) -> bool:
    return before.config is now.config and before.summary is now.summary and before.notes is now.notes


def _settings(run: Run) -> dict[str, str]:
    config = run.config
    values = {
        "task": config.task,
        "method": config.arm.method,
        "arm": config.arm.label,
        **config.task_options,
        **config.arm.options,
        **config.training.model_dump(),
        "seed": config.seed,
        "purpose": config.purpose,
    }
    return {name: str(value) for name, value in values.items()}


def matching(rows: Sequence[Row], words: str, tag: str, order: str) -> list[Row]:
    """The rows that hold all words and have the tag, sorted.

    Args:
        rows: All rows, newest first.
        words: Filter; a setting is matched as a whole, for rank=4 is not rank=40.
        tag: A tag; empty for any.
        order: One of ORDERS; anything else is the first.
    """
    wanted = [f" {word} " if "=" in word else word for word in words[:MAX_WORDS].lower().split()]
    left = [row for row in rows if (not tag or tag in row.run.notes.tags) and all(word in row.text for word in wanted)]
    return _ordered(left, order)


def _ordered(rows: list[Row], order: str) -> list[Row]:
    """The rows by a column; those without a value come last, and equal ones stay newest first."""
    if order not in ORDERS or order == NEWEST:
        return rows
    column = list(COLUMNS).index(order[:-2])
    valued = [row for row in rows if row.cells[column] not in (None, "")]
    empty = [row for row in rows if row.cells[column] in (None, "")]
    return sorted(valued, key=lambda row: row.cells[column], reverse=order.endswith("↓")) + empty
