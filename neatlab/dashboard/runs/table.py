"""The runs folder as the Runs tab shows it: its table, and how many runs there are."""

import html
from collections.abc import Collection
from typing import Any, Literal

from neatlab.dashboard.shared.listing import Listing, metric, task_text
from neatlab.runs.run import Run

ID = 0  # column of the run's id
COLUMNS: dict[str, tuple[Literal["str", "number"], str]] = {  # heading → Gradio's type, width
    "run": ("str", "140px"),
    "status": ("str", "100px"),
    "task": ("str", "150px"),
    "arm": ("str", "190px"),
    "seed": ("number", "76px"),
    "steps": ("number", "80px"),
    "lr": ("number", "76px"),
    "adapter params": ("number", "154px"),
    "metric": ("number", "88px"),
    "judged by": ("str", "156px"),
    "effective rank": ("number", "144px"),
    "s/step": ("number", "88px"),
    "created (UTC)": ("str", "170px"),
}
EMPTY = """<section class="runs-empty"><h3>No runs yet</h3>
<p>Train two arms on the Train tab, or type <code>python -m neatlab compare --task digits --arm lora:rank=4
--arm neat:rank=4</code>. Every run that is trained into this folder appears here, with its curves, its settings and
its adapter.</p></section>"""


def rows(listing: Listing, training: Collection[str]) -> list[list[Any]]:
    """The table: a row a run.

    Args:
        listing: The runs.
        training: Ids of those that this server trains now.
    """
    return [_row(run, run_id in training) for run_id, run in listing.runs.items()]


def _row(run: Run, training: bool) -> list[Any]:
    config, summary, judged = run.config, run.summary, metric(run.config)
    return [
        run.run_id,
        "training" if training and not summary else run.status,
        task_text(config),
        config.arm.label,
        config.seed,
        config.training.steps,
        config.training.lr,
        summary.get("adapter_params"),
        _rounded(summary.get("metric"), 4),
        f"{judged.name} {'↑' if judged.higher_is_better else '↓'}",
        _rounded(summary.get("effective_rank"), 2),
        _rounded(summary.get("seconds_per_step"), 4),
        str(run.environment.get("created"))[:19].replace("T", " "),
    ]


def _rounded(value: Any, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def count_text(listing: Listing, chosen: int) -> str:
    """How many runs there are, and the damaged ones by name."""
    count = len(listing.runs)
    said = f'<p class="hint" role="status">{count:,} run{"" if count == 1 else "s"}, {chosen} selected.</p>'
    if not listing.damaged:
        return said
    items = "".join(f"<li>{html.escape(f'{i}: {why}')}</li>" for i, why in listing.damaged.items())
    number = len(listing.damaged)
    title = "1 damaged run is left out" if number == 1 else f"{number} damaged runs are left out"
    return f'{said}<details class="runs-damaged"><summary>{title}</summary><ul>{items}</ul></details>'
