"""The Train tab's table of results."""

import html
import statistics
from collections.abc import Collection

from neatlab.dashboard.shared.html import number
from neatlab.dashboard.train.captions import last, letter
from neatlab.dashboard.train.charts import Picture, started, steps_done
from neatlab.runs.run import Run

HEAD = ("arm", "run", "adapter params", "trainable params", "validation", "test", "s/step", "effective rank")
RECENT = 25  # steps over which the time of one is told while it trains


def table(seen: Picture, stored: Collection[str] = ()) -> str:
    """The summary as an HTML table.

    Args:
        seen: The runs.
        stored: Ids of runs that were in the store before.
    """
    names = [f"{name} {seen.metric.name}" if name in ("validation", "test") else name for name in HEAD]
    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in names)
    rows = "".join(_row(run, seen, stored) for run in seen.runs)
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="results">'
        f'<table class="summary"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _row(run: Run, seen: Picture, stored: Collection[str]) -> str:
    begun = started(run)
    cells = [
        f"{run.run_id}<br><small>{_state(run, stored)}</small>",
        number(begun.get("adapter_params"), 0),
        number(begun.get("trainable_params"), 0),
        number(last(run, "validation").get("metric"), 4),
        number(run.summary.get("metric"), 4),
        number(run.summary.get("seconds_per_step") or _pace(run), 4),
        number(run.summary.get("effective_rank"), 2),
    ]
    name = letter(seen.arms.index(run.config.arm.label))
    swatch = f'<span class="swatch swatch-{name.lower()}"></span>'
    arm = f'<th scope="row">{swatch}{name}: {html.escape(run.config.arm.label)}</th>'
    return f'<tr data-run="{run.run_id}">{arm}{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'


def _pace(run: Run) -> float | None:
    recent = [event["seconds"] for event in run.events[-2 * RECENT :] if event["type"] == "Step"]
    return statistics.median(recent) if recent else None


def _state(run: Run, stored: Collection[str]) -> str:
    if run.status == "failed":
        return html.escape(str(run.summary.get("error")))
    if run.status == "finished":
        return "from the runs folder" if run.run_id in stored else "finished"
    stopped = "stopped at " if run.status == "interrupted" else ""
    return f"{stopped}step {steps_done(run)} of {run.config.training.steps}"
