"""What the Ablate tab shows, read from the store: heat map, intervals, verdict table and their words."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from neatlab import plots
from neatlab.analysis.looks import LOOKS
from neatlab.analysis.statistics import Interval
from neatlab.dashboard.ablate.request import SweepOrder
from neatlab.dashboard.ablate.verdict import NO_VERDICT, verdict
from neatlab.dashboard.shared.follow import queue_text
from neatlab.dashboard.shared.html import hint, plural
from neatlab.dashboard.shared.job import Job
from neatlab.dashboard.shared.live_plot import shown
from neatlab.experiments.sequential import SeedRequest, wanted_runs
from neatlab.plots.looks import short_name
from neatlab.report.text import ordered
from neatlab.runs.comparison import Comparison
from neatlab.runs.run import Run
from neatlab.runs.store import Store
from neatlab.runtime.templates import macros

_HTML = macros(__file__)
MAX_DRAWN = 10  # arms in the chart of intervals; the table has all


class SweepSnapshot(NamedTuple):
    """What is known of a sweep.

    Args:
        order: The sweep.
        ended: Its runs that have ended, by id.
        wanted: Ids of the runs that are to be there: all, or those of the look that comes next or has decided.
    """

    order: SweepOrder
    ended: dict[str, Run]
    wanted: frozenset[str]

    @property
    def total(self) -> int:
        """Runs in all; with seeds "auto" up to the look that comes next or has decided."""
        return len(self.wanted | self.ended.keys())

    @property
    def complete(self) -> bool:
        """Whether all of them have ended."""
        return self.wanted <= self.ended.keys()

    def comparison(self, reference: bool = True) -> Comparison | None:
        """The runs that have ended, with those of the reference or without; None where there is none."""
        label = self.order.reference
        ended = [self.ended[config.run_id] for config in self.order.runs() if config.run_id in self.ended]
        return compare([run for run in ended if reference or run.config.arm.label != label], self.order)


def compare(runs: Sequence[Run], order: SweepOrder) -> Comparison | None:
    """The comparison of some of a sweep's runs; None where there is none."""
    has_reference = any(run.config.arm.label == order.reference for run in runs)
    label = order.reference if has_reference else None
    return Comparison(runs, reference=label, margin=order.margin, design=_seeds(order).design) if runs else None


def read_sweep(order: SweepOrder, store: Store, before: SweepSnapshot | None = None) -> SweepSnapshot:
    """Read a sweep's runs.

    Args:
        order: The sweep.
        store: Where they are.
        before: What was read of it before.
    """
    known = before.ended if before else {}
    runs = [known.get(config.run_id) or store.finished(config) for config in order.runs()]
    ended = {run.run_id: run for run in runs if run is not None}
    same = before is not None and ended.keys() == before.ended.keys()
    return SweepSnapshot(order, ended, before.wanted if before and same else _wanted(order, ended))


def _wanted(order: SweepOrder, ended: Mapping[str, Run]) -> frozenset[str]:
    configs = wanted_runs(
        _seeds(order),
        lambda numbers: [config for config in order.runs() if config.seed in numbers],
        lambda config: ended.get(config.run_id),
        lambda runs: Comparison(runs, reference=order.reference, margin=order.margin, design=_seeds(order).design),
    )
    return frozenset(config.run_id for config in configs)


def _seeds(order: SweepOrder) -> SeedRequest:
    return SeedRequest(order.seeds, order.max_seeds, None)


class SweepCharts(NamedTuple):
    """Values of the tab's right side."""

    heat: str | None
    scores: str | None
    verdict: str


EMPTY = SweepCharts(None, None, NO_VERDICT)


def draw_sweep(seen: SweepSnapshot) -> SweepCharts:
    """Draw what is there; an invitation where nothing is."""
    whole = seen.comparison()
    if whole is None:
        return EMPTY
    return SweepCharts(
        _heat(seen),
        _scores(whole, seen.order.reference),
        verdict(whole, seen.order.reference, seen.total, seen.complete),
    )


def _heat(seen: SweepSnapshot) -> str | None:
    """The whole grid from the start: cells without a run stay empty, and nothing moves when they fill."""
    varied = seen.comparison(reference=False)
    if varied is None or not _has_score(varied):
        return None
    data = plots.heatmap_data(varied)
    cells = {
        (depth, function): cell
        for depth, row in zip(data.rows, data.cells, strict=True)
        for function, cell in zip(data.columns, row, strict=True)
        if cell is not None
    }
    columns, rows = list(seen.order.activations), [str(depth) for depth in seen.order.depths]
    grid = [[cells.get((row, column)) for column in columns] for row in rows]
    figure = plots.heatmap(varied).update_xaxes(title="activation σ").update_yaxes(title="depth L")
    means = [[None if cell is None else cell.mean for cell in row] for row in grid]
    texts = [[_cell(cell, seen.order) for cell in row] for row in grid]
    figure.update_traces(x=columns, y=rows, z=means, text=texts).update_annotations(text="stronger is better")
    figure.update_layout(height=None, uirevision=str(seen.order))
    return shown(figure, _heat_words(cells, data.name, len(rows) * len(columns)))


def _cell(cell: Interval | None, order: SweepOrder) -> str:
    if cell is None:
        return ""
    half = f" ± {cell.half_width:.3f}" if cell.count > 1 else ""
    count = f"{cell.count}" if order.seeds == "auto" else f"{cell.count} of {order.seeds}"
    return f"{cell.mean:.3f}{half}<br>{count} seeds"


def _heat_words(cells: Mapping[tuple[str, str], Interval], name: str, total: int) -> str:
    low, high = (choose(cells, key=lambda key: cells[key].mean) for choose in (min, max))
    ends = [f"{cells[depth, function].mean:.3f} (depth {depth}, {function})" for depth, function in (low, high)]
    text = f"{len(cells)} of {total} cells have a run. {name}: from {' to '.join(ends)}."
    return f"{text} Mean over seeds ± half the 95 % interval."


def _scores(whole: Comparison, reference: str) -> str | None:
    if not _has_score(whole):
        return None
    arms = [arm.arm for arm in whole.arms() if math.isfinite(arm.mean)]
    best = [arm for arm in ordered(whole) if arm in arms][:MAX_DRAWN]
    figure = plots.intervals(whole, arms=best, reference=reference).update_layout(height=None)
    left = f"The reference and the best {len(best) - 1} of {len(arms) - 1} others; the table has all. "
    margin = f"grey what differs from it by less than {whole.margin:g}, which does not matter"
    marked = f"The dotted line marks the reference, {short_name(reference)}, {margin}." if reference in best else ""
    return shown(figure, f"Mean and 95 % interval over seeds. {left if len(best) < len(arms) else ''}{marked}")


def _has_score(comparison: Comparison) -> bool:
    return any(math.isfinite(arm.mean) for arm in comparison.arms())


def status(text: str, detail: str = "", done: int = 0, total: int = 0) -> str:
    """The status line: `text` is read out by screen readers when it changes, `detail` is not."""
    return _HTML.status(text, detail, done, total)


INTRO = _HTML.intro()
INVITATION = status("Choose a grid and press Start.")


def run_count(seen: SweepSnapshot) -> str:
    """How many runs a sweep has and how many are there already."""
    arms = len(seen.order.depths) * len(seen.order.activations)
    count = f"{plural(seen.total, 'run')}: {plural(arms, 'arm')} and the reference {seen.order.reference}"
    text = f"{count}, {seen.order.seeds} seeds each."
    if seen.order.seeds == "auto":
        looks = f"a first look after {LOOKS[0]} seeds and others until it is decided, at most {seen.order.max_seeds}"
        text = f"{plural(arms, 'arm')} and the reference {seen.order.reference}: {looks} seeds each."
    return hint(f"{text} The runs folder holds {len(seen.ended)} of them already.")


def command(order: SweepOrder) -> str:
    """What does the same outside this page."""
    return _HTML.command(order.command)


def resting(seen: SweepSnapshot) -> str:
    """The status of a sweep that nobody runs."""
    if seen.complete:
        return "Decided as far as it can be." if seen.order.seeds == "auto" else "All runs are there."
    return "Press Resume to go on." if seen.ended else "Press Start."


def doing(job: Job, position: int) -> str:
    """The status of a sweep's process.

    Args:
        job: The process.
        position: Its position in the queue.
    """
    if job.refusal:
        return f"Not finished. {job.refusal}"
    if job.phase == "ended":
        return "Stopped; what had finished is kept. Press Resume to go on."
    if job.stopped:
        return "Stopping."
    return queue_text(position, "Preparing." if job.phase == "preparing" else "Sweeping.")
