"""What the Ablate tab shows of a sweep: status, cost, decision, grid, intervals, verdict, and what to do next."""

import math
from collections.abc import Mapping
from typing import NamedTuple

from neatlab import plots
from neatlab.analysis.looks import LOOKS
from neatlab.dashboard.ablate.grid import draw_grid
from neatlab.dashboard.ablate.verdict import NO_DECISION, NO_VERDICT, Against, against, decision, verdict
from neatlab.dashboard.shared.follow import queue_text
from neatlab.dashboard.shared.html import hint, plural
from neatlab.dashboard.shared.job import Job
from neatlab.dashboard.shared.live_plot import shown
from neatlab.dashboard.sweeps.estimate import run_seconds, seconds_left
from neatlab.dashboard.sweeps.limits import MAX_FIXED_SEEDS
from neatlab.dashboard.sweeps.request import SweepOrder, has_odd_depth
from neatlab.dashboard.sweeps.snapshot import SweepSnapshot
from neatlab.plots.looks import short_name
from neatlab.report.text import ordered
from neatlab.runs.comparison import Comparison
from neatlab.runtime.numbers import duration
from neatlab.runtime.templates import macros

_HTML = macros(__file__)
MAX_DRAWN = 8  # arms in the chart of intervals; the table has all
PLAIN = "All arms have residual=none: the paired one needs an even depth."


class SweepCharts(NamedTuple):
    """Values of the tab's right side.

    Args:
        decision: Which arm to take; empty until it is known.
        grid: The arms as a grid; empty where there is no sweep.
        scores: The chart of intervals.
        verdict: The table of arms.
        more_seeds: How many seeds to take next, "auto" for as many as decide; empty where more would change nothing.
        asks_rates: Whether no learning rate has been searched for yet.
        is_decided: Whether an arm is recommended.
    """

    decision: str
    grid: str
    scores: str | None
    verdict: str
    more_seeds: str = ""
    asks_rates: bool = False
    is_decided: bool = False


EMPTY = SweepCharts(NO_DECISION, "", None, NO_VERDICT)


def draw_sweep(seen: SweepSnapshot, step_seconds: float | None = None) -> SweepCharts:
    """Draw what is there, and what will be.

    Args:
        seen: The sweep.
        step_seconds: Seconds a step of other runs of the task; None where unknown.
    """
    whole = seen.comparison()
    if whole is None:
        return EMPTY._replace(grid=draw_grid(seen, None, {}, step_seconds))
    judged = against(whole) if seen.complete else {}
    return SweepCharts(
        decision(seen, whole),
        draw_grid(seen, whole, judged, step_seconds),
        _scores(whole),
        verdict(seen, whole, judged),
        more_seeds=_more_seeds(seen, whole, judged) if seen.complete else "",
        asks_rates=seen.complete and seen.order.can_tune,
        is_decided=seen.complete and all(decision.take for decision in whole.decisions()),
    )


def _more_seeds(seen: SweepSnapshot, whole: Comparison, judged: Mapping[str, Against]) -> str:
    """Until each arm is decided against the reference; where that is so, as many as may tell the arms apart."""
    seeds = seen.order.seeds
    if seeds == "auto":
        return ""
    if any(one.verdict == "undecided" and math.isfinite(one.mean) for one in judged.values()):
        return "auto"
    open_still = any(decision.take is None and decision.more_seeds for decision in whole.decisions())
    return str(MAX_FIXED_SEEDS) if open_still and seen.order.fits(MAX_FIXED_SEEDS) and seeds < MAX_FIXED_SEEDS else ""


def _scores(whole: Comparison) -> str | None:
    arms, reference = [arm.arm for arm in whole.arms() if math.isfinite(arm.mean)], whole.references[0]
    if not arms:
        return None
    best = [arm for arm in ordered(whole) if arm in arms][:MAX_DRAWN]
    figure = plots.intervals(whole, arms=best, reference=reference).update_layout(height=None)
    left = f"The reference and the best {len(best) - 1} of {len(arms) - 1} others; the table has all. "
    margin = f"grey what differs from it by less than {whole.margin:g}, which does not matter"
    marked = f"The dotted line marks the reference, {short_name(reference)}, {margin}." if reference in best else ""
    return shown(figure, f"Mean and 95 % interval over seeds. {left if len(best) < len(arms) else ''}{marked}")


def status(text: str, detail: str = "", done: int = 0, total: int = 0) -> str:
    """The status line: `text` is read out by screen readers when it changes, `detail` is not."""
    return str(_HTML.status(text, detail, done, total))


INTRO = _HTML.intro()
INVITATION = status("Choose a grid and press Start.")


def run_count(seen: SweepSnapshot, step_seconds: float | None = None) -> str:
    """How many runs a sweep has, how long they take, and how many are there already.

    Args:
        seen: The sweep.
        step_seconds: Seconds a step of other runs of the task; None where unknown.
    """
    order = seen.order
    arms = plural(sum(cell.arm.label != order.reference for cell in order.cells), "arm")
    text = f"{plural(seen.total, 'run')}: {arms} and the reference {order.reference}, {order.seeds} seeds each."
    if order.seeds == "auto":
        looks = f"a first look after {LOOKS[0]} seeds and others until it is decided, at most {order.max_seeds}"
        text = f"{arms} and the reference {order.reference}: {looks} seeds each."
    search = f"First up to {order.search_count} runs that find each arm's learning rate." if order.rates else ""
    plain = PLAIN if has_odd_depth(dict(order.axes)) else ""
    there = f"The runs folder holds {len(seen.ended)} of them already."
    return hint(" ".join(filter(None, [text, search, _time(seen, step_seconds), there, plain])))


def _time(seen: SweepSnapshot, step_seconds: float | None) -> str:
    if seen.complete:
        return ""
    seconds = seconds_left(seen, run_seconds(seen, step_seconds))
    return "How long they take is known after the first." if seconds is None else f"About {duration(seconds)} here."


def command(order: SweepOrder) -> str:
    """What does the same outside this page."""
    return str(_HTML.command(order.command))


def resting(seen: SweepSnapshot, is_decided: bool = False) -> str:
    """The status of a sweep that nobody runs."""
    if seen.complete and seen.order.seeds == "auto":
        return "Decided." if is_decided else "Not decided by as many seeds as this takes."
    if seen.complete:
        return "All runs are there."
    return "Some runs are there already; Start trains the others." if seen.ended else "Press Start."


def detail(seen: SweepSnapshot, runs: bool) -> str:
    """How far a sweep is.

    Args:
        seen: The sweep.
        runs: Whether it goes on now.
    """
    text = f"{len(seen.ended)} of {seen.total} runs"
    seconds = seconds_left(seen, run_seconds(seen, None)) if runs and not seen.complete else None
    return text if seconds is None else f"{text}, about {duration(seconds)} left"


def doing(job: Job, position: int, is_searching: bool = False) -> str:
    """The status of a sweep's process.

    Args:
        job: The process.
        position: Its position in the queue.
        is_searching: Whether it looks for learning rates.
    """
    if job.refusal:
        return f"Not finished. {job.refusal}"
    if job.phase == "ended":
        return "Stopped; what had finished is kept. Press Resume to go on."
    if job.stopped:
        return "Stopping."
    active = "Finding each arm's learning rate." if is_searching else "Sweeping."
    return queue_text(position, "Preparing." if job.phase == "preparing" else active)
