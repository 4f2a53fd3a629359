"""The grid of a sweep: drawn before it runs, filled as its runs end, shaded by what is shown; a cell opens its run."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from neatlab.analysis.looks import LOOKS
from neatlab.analysis.statistics import mean_interval
from neatlab.config import parse_arm
from neatlab.dashboard.ablate.verdict import Against
from neatlab.dashboard.shared.choices import task_choices
from neatlab.dashboard.shared.links import write
from neatlab.dashboard.sweeps.axes import AXES, SHARE, SIZE, SIZES, Value
from neatlab.dashboard.sweeps.estimate import run_seconds
from neatlab.dashboard.sweeps.request import SweepOrder, cell_at
from neatlab.dashboard.sweeps.snapshot import SweepSnapshot
from neatlab.runs.comparison import Comparison
from neatlab.runs.run import Run
from neatlab.runtime.numbers import duration, or_nan
from neatlab.runtime.templates import macros

SHADES = {"better": "better", "worse": "worse"}  # what is said of an arm → how its cell looks
DIVERGED = "diverged"


class CellShown(NamedTuple):
    """One cell.

    Args:
        kind: Class of its look.
        score: Its mean and interval, or its runs.
        note: Its seeds, or the time that they take.
        word: What is shown of its difference from the reference.
        link: Opens its run on Train; empty where there is none.
        title: The arm.
        span: Columns that it takes.
    """

    kind: str
    score: str
    note: str
    word: str
    link: str
    title: str
    span: int = 1


def draw_grid(
    seen: SweepSnapshot, whole: Comparison | None, judged: Mapping[str, Against], step_seconds: float | None
) -> str:
    """The grid as HTML.

    Args:
        seen: The sweep.
        whole: The comparison of its runs; None before the first.
        judged: Arm of the comparison → its difference from the reference; empty until all runs are there.
        step_seconds: Seconds a step of other runs of the task; None where unknown.
    """
    across, columns, rows = _layout(seen.order)
    planned = _planned(seen, step_seconds)
    positions = {cell.key: index for index, cell in enumerate(seen.order.cells)}
    shown = [_cell(seen, index, whole, judged, planned) for index in range(len(seen.order.cells))]
    references = [index for index, cell in enumerate(seen.order.cells) if cell.arm.label == seen.order.reference]
    lines = [_reference_line(seen, index, shown[index], max(len(columns), 1)) for index in references]
    for heading, points in rows:
        lines.append((heading, [shown[positions[cell_at(seen.order, point).key]] for point in points]))
    names = [_text(value) for value in columns]
    return macros(__file__).grid(AXES[across].label if across else "", names, lines, _caption(seen, whole, judged))


Point = dict[str, Value]


def _layout(order: SweepOrder) -> tuple[str, Sequence[Value], list[tuple[str, list[Point]]]]:
    """The axis of the columns with its values, and the rows: a heading and a point a column."""
    axes = dict(order.axes)
    varied = [name for name, values in axes.items() if len(values) > 1]
    across = varied[1] if len(varied) > 1 else varied[0] if varied else ""
    points: list[Point] = [{}]
    for name, values in axes.items():
        if name != across:
            points = [{**point, name: value} for point in points for value in values]
    columns = axes.get(across, ())
    rows = [(_heading(p, varied), [{**p, across: value} for value in columns] if across else [p]) for p in points]
    return across, columns, rows


def _heading(point: Point, varied: Sequence[str]) -> str:
    parts = [f"{AXES[name].unit} {_text(value)}" for name, value in point.items() if name in varied]
    return ", ".join(parts) or "the base arm"


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _planned(seen: SweepSnapshot, step_seconds: float | None) -> tuple[str, str]:
    """What a cell costs: its runs, and how long they take."""
    order, each = seen.order, run_seconds(seen, step_seconds)
    least = LOOKS[0] if order.seeds == "auto" else order.seeds
    runs = f"{least} to {order.max_seeds} runs" if order.seeds == "auto" else f"{least} run{'s' * (least > 1)}"
    return runs, "" if each is None else f"≈ {duration(max(1, least * each))}"


def _cell(
    seen: SweepSnapshot,
    index: int,
    whole: Comparison | None,
    judged: Mapping[str, Against],
    planned: tuple[str, str],
) -> CellShown:
    arm, runs = seen.arms[index], seen.of_cell(index)
    if not runs or whole is None:
        return CellShown("planned", *planned, "", "", arm.label)
    against = judged.get(whole.label(runs[0]))
    score = mean_interval([or_nan(run.summary.get("metric")) for run in runs])
    half = f" ± {score.half_width:.3f}" if score.count > 1 else ""
    text = f"{score.mean:.3f}{half}" if math.isfinite(score.mean) else DIVERGED
    word = against.verdict if against and math.isfinite(score.mean) else ""
    link = _link(seen, index, runs)
    title = f"{arm.label}: open the run of seed {runs[0].config.seed} on Train" if link else arm.label
    return CellShown(SHADES.get(word, "ended"), text, _seeds(seen.order, runs), word, link, title)


def _seeds(order: SweepOrder, runs: Sequence[Run]) -> str:
    done = str(len(runs)) if order.seeds == "auto" or len(runs) == order.seeds else f"{len(runs)} of {order.seeds}"
    return f"{done} seed{'' if done == '1' else 's'}"


def _reference_line(seen: SweepSnapshot, index: int, cell: CellShown, span: int) -> tuple[str, list[CellShown]]:
    axes, (task, _, share) = dict(seen.order.axes), seen.order.cells[index]
    size = f", {task.options[SIZES[task.name][0]]} examples" if SIZE in axes else ""
    size += f", {AXES[SHARE].unit} {share:g}" if SHARE in axes else ""
    kind = cell.kind if cell.kind == "planned" else "reference"
    return f"reference {seen.arms[index].label}{size}", [cell._replace(kind=kind, span=span)]


def _link(seen: SweepSnapshot, index: int, runs: Sequence[Run]) -> str:
    """Opens the first seed's run on Train, the reference beside it; empty for what no link can say."""
    arm, config = seen.arms[index], runs[0].config
    task, labels = str(seen.order.cells[index].task), [seen.reference, arm.label]
    is_offered = config.training.train_size == 1 and task in task_choices().values()
    if not is_offered or arm.label == seen.reference or parse_arm(arm.label) != arm:
        return ""
    settings = {"steps": config.training.steps, "seed": config.seed}
    return write({"tab": "train", "task": task, "arm": labels, **settings})


def _caption(seen: SweepSnapshot, whole: Comparison | None, judged: Mapping[str, Against]) -> str:
    if whole is None:
        return "What will be trained: the runs of each cell, and how long they take one after the other."
    metric = whole.metric
    better = "higher" if metric.higher_is_better else "lower"
    text = f"{metric.name}, {better} is better: mean over seeds ± half the 95 % interval."
    if not judged:
        return f"{text} Cells are shaded when all runs are there and a difference is shown."
    count = sum(one.verdict in SHADES for one in judged.values())
    shaded = "Shaded: shown to be better or worse than the reference, corrected for all comparisons"
    return f"{text} {shaded} ({count} of {len(judged)})."
