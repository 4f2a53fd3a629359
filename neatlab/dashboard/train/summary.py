"""The Train tab's table of results."""

import statistics
from collections.abc import Collection, Mapping
from typing import Any

from neatlab.dashboard.train.snapshot import RunsSnapshot, last_evaluation, letter, started, steps_done
from neatlab.plots.looks import looks
from neatlab.report.markup import key
from neatlab.runs.run import Run
from neatlab.runtime.numbers import bytes_number, number
from neatlab.runtime.templates import macros

_HTML = macros(__file__)
HEAD = ("arm", "run", "adapter params", "trainable params", "validation", "test", "s/step", "saved", "effective rank")
FORGOTTEN = "base task before → after"
RECENT = 25  # steps over which the time of a step is measured while it trains


def table(runs: RunsSnapshot, stored: Collection[str] = ()) -> str:
    """The summary as an HTML table.

    Args:
        runs: The runs.
        stored: Ids of runs that were in the store before.
    """
    head = [f"{name} {runs.metric.name}" if name in ("validation", "test") else name for name in HEAD]
    head += [FORGOTTEN] if any(run.config.spec.row.base_metric for run in runs.runs) else []
    return _HTML.table(head, [_row(run, runs, stored) for run in runs.runs])


def _row(run: Run, runs: RunsSnapshot, stored: Collection[str]) -> dict[str, Any]:
    counts, summary = started(run), run.summary
    return {
        "run_id": run.run_id,
        "letter": letter(runs.arms.index(run.config.arm.label)),
        "label": run.config.arm.label,
        "key": key(looks(runs.arms)[run.config.arm.label]),
        "state": _state(run, stored),
        "numbers": [
            number(counts.get("adapter_params"), 0),
            number(counts.get("trainable_params"), 0),
            number(last_evaluation(run, "validation").get("metric"), 4),
            number(summary.get("metric"), 4),
            number(summary.get("seconds_per_step") or _seconds_per_step(run), 4),
            bytes_number(counts.get("saved_bytes")),
            number(summary.get("effective_rank"), 2),
            *_forgotten(run, counts),
        ],
    }


def _forgotten(run: Run, counts: Mapping[str, Any]) -> list[str]:
    """What the base knew before, and what is left of it; nothing for a task without a base task."""
    if run.config.spec.row.base_metric is None:
        return []
    return [f"{number(counts.get('base_metric'), 3)} → {number(run.summary.get('base_metric'), 3)}"]


def _seconds_per_step(run: Run) -> float | None:
    recent = [event["seconds"] for event in run.events[-2 * RECENT :] if event["type"] == "Step"]
    return statistics.median(recent) if recent else None


def _state(run: Run, stored: Collection[str]) -> str:
    if run.status == "failed":
        return str(run.summary.get("error"))
    if run.status == "finished":
        return "from the runs folder" if run.run_id in stored else "finished"
    stopped = "stopped at " if run.status == "interrupted" else ""
    return f"{stopped}step {steps_done(run)} of {run.config.training.steps}"
