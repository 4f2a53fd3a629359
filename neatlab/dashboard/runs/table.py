"""The runs folder as the Runs tab shows it: its table, and how many runs there are."""

from collections.abc import Collection
from typing import Any, Literal

from neatlab.dashboard.shared.html import plural
from neatlab.dashboard.shared.listing import Listing
from neatlab.runs.run import Run
from neatlab.runtime.templates import macros

_HTML = macros(__file__)
ID = 0  # column of the run's id
COLUMNS: dict[str, tuple[Literal["str", "number"], str]] = {  # heading → Gradio's type, width
    "run": ("str", "140px"),
    "status": ("str", "100px"),
    "task": ("str", "150px"),
    "arm": ("str", "190px"),
    "tags": ("str", "110px"),
    "seed": ("number", "76px"),
    "steps": ("number", "80px"),
    "lr": ("number", "76px"),
    "adapter params": ("number", "154px"),
    "metric": ("number", "88px"),
    "judged by": ("str", "156px"),
    "effective rank": ("number", "144px"),
    "s/step": ("number", "88px"),
    "created (UTC)": ("str", "170px"),
    "note": ("str", "240px"),
}
NOTE_SHOWN = 80  # characters of a note in the table
EMPTY = _HTML.empty()


def rows(listing: Listing, training: Collection[str]) -> list[list[Any]]:
    """The table: a row a run.

    Args:
        listing: The runs.
        training: Ids of those that this server trains now.
    """
    return [row(run, run_id in training) for run_id, run in listing.runs.items()]


def row(run: Run, training: bool) -> list[Any]:
    """A run's row.

    Args:
        run: The run.
        training: Whether this server trains it now.
    """
    config, summary, judged = run.config, run.summary, run.config.spec.metric
    return [
        run.run_id,
        "training" if training and not summary else run.status,
        config.spec.label,
        config.arm.label,
        " ".join(run.notes.tags),
        config.seed,
        config.training.steps,
        config.training.lr,
        summary.get("adapter_params"),
        _rounded(summary.get("metric"), 4),
        f"{judged.name} {'↑' if judged.higher_is_better else '↓'}",
        _rounded(summary.get("effective_rank"), 2),
        _rounded(summary.get("seconds_per_step"), 4),
        str(run.environment.get("created"))[:19].replace("T", " "),
        _short(run.notes.note),
    ]


def _short(note: str) -> str:
    line = " ".join(note.split())
    return line if len(line) <= NOTE_SHOWN else f"{line[: NOTE_SHOWN - 1]}…"


def _rounded(value: Any, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def count_text(listing: Listing, chosen: int) -> str:
    """How many runs there are, and the damaged ones by name."""
    text = f"{plural(len(listing.runs), 'run')}, {chosen} selected."
    return _HTML.count(text, [f"{run_id}: {problem}" for run_id, problem in listing.damaged.items()])


def run_id_of(cells: Any) -> str | None:
    """What stands in a row's column of ids; None where that is no text."""
    return cells[ID] if isinstance(cells, list) and len(cells) > ID and isinstance(cells[ID], str) else None


def selected_texts(given: Any) -> list[str]:
    """The texts of what should be a list of them."""
    return [item for item in given if isinstance(item, str)] if isinstance(given, list) else []
