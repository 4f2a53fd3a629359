"""The answer with seeds, in place: the arms that were trained here, on as many seeds as decide between them."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from neatlab.analysis.looks import LOOKS
from neatlab.config import Arm, RunConfig, make_arm
from neatlab.dashboard.shared.context import Context
from neatlab.dashboard.shared.entries import SWEEP
from neatlab.dashboard.shared.job import Job
from neatlab.dashboard.sweeps.estimate import median_pace, run_seconds, seconds_left, seconds_of
from neatlab.dashboard.sweeps.request import SweepOrder
from neatlab.dashboard.sweeps.snapshot import SweepSnapshot, read_sweep
from neatlab.errors import BadInput
from neatlab.plots.looks import Look
from neatlab.report.markup import key
from neatlab.runs.arms import ArmDifference
from neatlab.runs.comparison import Comparison
from neatlab.runs.run import Run
from neatlab.runs.store import Store
from neatlab.runtime.numbers import duration, signed, signed_interval
from neatlab.runtime.templates import macros

_HTML = macros(__file__)
POLL_SECONDS = 0.5  # between two looks at the runs


@dataclass
class Verdict:
    """What a window has asked with seeds.

    Args:
        order: The arms and how they are trained.
        job: Its process; None where the store holds all.
        pace: Seconds a step of the window's own runs; None where none has ended.
        seen: What the store has of it.
        whole: The comparison of its runs, once all of them are there.
        is_over: Whether nothing will be added to that.
        due: When it is read again, on the monotonic clock.
    """

    order: SweepOrder
    job: Job | None
    pace: float | None
    seen: SweepSnapshot | None = None
    whole: Comparison | None = None
    is_over: bool = False
    due: float = 0.0

    def look(self, store: Store) -> None:
        """Read the store, twice a second while the runs come."""
        if self.job is not None:
            self.job.touch()
        busy = self.job is not None and self.job.phase != "ended"
        if self.is_over or (busy and time.monotonic() < self.due):
            return
        self.seen = read_sweep(self.order, store, self.seen)
        self.whole = self.seen.comparison() if self.seen.complete else None
        self.due, self.is_over = time.monotonic() + POLL_SECONDS, not busy

    @property
    def mark(self) -> tuple[int, bool]:
        """What changes with what is said."""
        return len(self.seen.ended) if self.seen else 0, self.is_over


def order_of(configs: Sequence[RunConfig]) -> SweepOrder:
    """The same arms with seeds, each at its own rate."""
    first = configs[0]
    arms = [_with_rate(config) for config in configs]
    return SweepOrder.of_arms(first.spec, arms, first.training.steps, first.training.batch_size)


def _with_rate(config: RunConfig) -> Arm:
    """The run's arm, with its learning rate where that is not the task's."""
    arm, lr = config.arm, config.training.lr
    return arm if lr == config.spec.row.training["lr"] else make_arm(arm.method, {"lr": lr} | arm.given())


def ask(runs: Sequence[Run], asked: int, context: Context, owner: object, visitor: str) -> Verdict:
    """Train what is missing.

    Args:
        runs: What the window shows.
        asked: How many arms it trains.
        context: Store and jobs.
        owner: The window.
        visitor: Whoever asks.

    Raises:
        BadInput: Not all arms have begun, or it is more than this page does.
    """
    if len(runs) < max(asked, 2):
        raise BadInput("there is nothing to ask about yet: train the arms first")
    order = order_of([run.config for run in runs]).within_limits()
    context.store.check_writable()
    job = context.jobs.find(SWEEP, order)
    if job is None and not read_sweep(order, context.store).complete:
        job = context.jobs.submit(SWEEP, order, owner=owner, visitor=visitor)
    return Verdict(order, job, median_pace(runs))


def offer(runs: Sequence[Run]) -> Markup:
    """One seed is no answer, and the button that asks for one: it takes from one look's seeds to all of them."""
    order, pace = order_of([run.config for run in runs]), median_pace(runs)
    if pace is None:
        return _HTML.offer("")
    each = pace * runs[0].config.training.steps
    least, most = (duration(seconds_of(order, seeds, each)) for seeds in (LOOKS[0], order.max_seeds))
    return _HTML.offer(f"{least} to {most}")


def state(verdict: Verdict, context: Context, shown: Sequence[Look], ablate: str) -> Markup:
    """How far it is, then the answer.

    Args:
        verdict: What was asked.
        context: Store and jobs.
        shown: What the arms look like, in their order.
        ablate: A link to the Ablate tab; empty for none.
    """
    job, seen = verdict.job, verdict.seen
    whole = verdict.whole
    if whole is not None:
        return _answered(whole, dict(zip([arm.arm for arm in whole.arms()], shown, strict=True)), ablate)
    if job is not None and job.refusal:
        return _HTML.failed(str(job.refusal))
    if seen is None or verdict.is_over:
        return _HTML.stopped(len(seen.ended) if seen else 0, seen.total if seen else 0)
    waiting = context.jobs.position(job) if job and job.phase == "waiting" else 0
    seconds = seconds_left(seen, run_seconds(seen, verdict.pace))
    left = "" if seconds is None else f", about {duration(seconds)} to the next look"
    return _HTML.asking(waiting, seen.is_searching, len(seen.ended), seen.total, left)


def decision(verdict: Verdict | None) -> Markup:
    """Which arm to take, in full, above the table; nothing before all runs are there."""
    whole = verdict.whole if verdict else None
    if whole is None:
        return Markup()
    return _HTML.decision(whole.decision(), whole.verdict(), whole.assumptions())


def _answered(whole: Comparison, shown: dict[str, Look], ablate: str) -> Markup:
    seeds = max((arm.finished for arm in whole.arms()), default=0)
    differences = whole.differences()
    if len(differences) != 1:
        return _HTML.answered(seeds, whole.headline() or whole.decision(), whole.decision(), "", "", ablate)
    (one,) = differences
    return _HTML.answered(seeds, _word(one, shown), whole.decision(), signed(one.mean), _bar(one, shown, whole), ablate)


def _word(one: ArmDifference, shown: dict[str, Look]) -> str:
    winner = shown[one.winner].name if one.winner else ""
    more = f": about {one.more_seeds} more seeds" if one.more_seeds else ""
    words = {
        "better": f"{winner} is better",
        "as-good": "as good as each other",
        "not-worse": f"{winner} is not worse, with fewer parameters",
    }
    return words.get(one.verdict, f"undecided{more}")


def _bar(one: ArmDifference, shown: dict[str, Look], whole: Comparison) -> Markup:
    """The interval across a zero line, each arm on the side where it is better."""
    low, high = one.ci95
    if not math.isfinite(low):
        return Markup()
    better, worse = (one.a, one.b) if whole.metric.higher_is_better else (one.b, one.a)
    reach = 1.1 * max(abs(low), abs(high), 2 * one.margin)
    places = [50 + 50 * value / reach for value in (low, high, one.mean, -one.margin, one.margin)]
    ends = f"95 % interval {signed_interval(low, high)}"
    names = f"left of zero {shown[worse].name} is better, right of it {shown[better].name}"
    keys = [key(shown[label], line=False) for label in (worse, better)]
    return _HTML.bar(*keys, f"{ends}; {names}", *[f"{place:.1f}" for place in places])
