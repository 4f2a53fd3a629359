"""What a window shows of a training, a few times a second, until it ends."""

import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from itertools import count
from typing import NamedTuple

from neatlab.config import RunConfig
from neatlab.dashboard.shared.context import Context
from neatlab.dashboard.shared.html import status
from neatlab.dashboard.train.answer import answer
from neatlab.dashboard.train.charts import EMPTY, Charts
from neatlab.dashboard.train.snapshot import RunsSnapshot, read_runs, steps_done
from neatlab.dashboard.train.summary import table
from neatlab.dashboard.train.verdict import decision
from neatlab.dashboard.train.window import TrainWindow, goes_on
from neatlab.dashboard.train.words import NO_TABLE, READY, before_first_step, progress_text
from neatlab.runtime.numbers import duration

INTERVAL = 0.19  # seconds between updates
DRAWING_SHARE = 0.25  # of the time, at most; long runs are drawn less often
MAX_WAIT = 3.0  # seconds for the page to draw an update; one that hears nothing for longer asks again
HEARTBEAT = 1.0  # seconds: a window that shows nothing new still hears from us, and we notice if it is gone
POLL_SECONDS = 0.04
NUMBERS = count(1)


class Update(NamedTuple):
    """What the window shows.

    Args:
        status: Status line.
        phase: The job's phase; "watching" where another window has started it, "shown" or "idle" without a job.
        charts: Values of the live charts.
        table: Table of results.
        layers: What there is to choose from.
        layer: The layer shown.
        arms: What there is to choose from.
        arm: The arm of the heat map.
        at: Step shown.
        total: Steps asked for.
        number: Later updates have larger ones; the page drops one that comes after a later one.
    """

    status: str
    phase: str
    charts: Charts = EMPTY
    table: str = NO_TABLE
    layers: tuple[str, ...] = ()
    layer: str | None = None
    arms: tuple[str, ...] = ()
    arm: str | None = None
    at: int = 0
    total: int = 0
    number: int = 0


def follow(window: TrainWindow, context: Context) -> Iterator[Update | None]:
    """Say how the window's training goes, until it ends or another follower takes over.

    The next update waits until the page has drawn the last: a slow browser gets fewer, and does not fall behind.

    Args:
        window: The window.
        context: Store and jobs.

    Yields:
        Updates, the last one with the result; None from a follower that was replaced: it has nothing to say any more.
    """
    window.follower = me = object()
    shown: tuple[Hashable, ...] = ()
    due = last = 0.0
    while window.follower is me:
        if (verdict := window.verdict) is not None:
            verdict.look(context.store)
        job, ended = window.job, window.active is None and not window.is_asking and not goes_on(window, context)
        if job is not None:
            job.touch()
        mark, now = _mark(window, context), time.monotonic()
        has_moved = mark[-1:] != shown[-1:]  # someone waits for it
        is_due = now >= due and (window.has_drawn or now >= last + MAX_WAIT)
        if ended or has_moved or (is_due and (mark != shown or now >= last + HEARTBEAT)):
            made, wait = _timed(lambda: update(window, context))
            if window.follower is not me or window.view != mark[-1]:
                continue  # what was reset, or is looked at otherwise, since this was begun must not be drawn over
            shown, last, due, window.has_drawn = mark, now, now + wait, False
            yield made
        if ended or window.closed:
            return
        time.sleep(POLL_SECONDS)
    yield None  # Gradio empties the outputs of a generator that gives nothing


def _mark(window: TrainWindow, context: Context) -> tuple[Hashable, ...]:
    """What an update depends on, without reading the runs."""
    job = window.job
    sizes = tuple(_size(context, config) for config in window.configs)
    asked = window.verdict and window.verdict.mark
    about = job and (context.jobs.position(job), job.runs, job.result)
    return (window.phase, about, sizes, asked, window.view)


def _size(context: Context, config: RunConfig) -> int:
    try:
        return (context.store.root / config.run_id / "events.jsonl").stat().st_size
    except OSError:
        return 0


def _timed(make: Callable[[], Update]) -> tuple[Update, float]:
    """An update, and seconds until the next.

    The thread's time counts, not the clock's: it may wait for the trainings, and must not wait longer for that.
    """
    begun = time.thread_time()
    made = make()
    return made, min(max(INTERVAL, (time.thread_time() - begun) / DRAWING_SHARE), MAX_WAIT)


def update(window: TrainWindow, context: Context, names: Sequence[str] = tuple(EMPTY)) -> Update:
    """The window as the store and its job have it now.

    Args:
        window: The window.
        context: Store and jobs.
        names: The charts asked for.

    Returns:
        What it shows.
    """
    number, job = next(NUMBERS), window.job  # before anything is read: a larger number has seen no less
    if job is not None:
        window.configs, window.refusal = job.runs or window.configs, job.refusal or window.refusal
    if window.order is None and window.watched is None:
        return Update(READY, "idle", number=number)
    is_others = goes_on(window, context) or (window.active is not None and not window.active.owned_by(window))
    phase = "watching" if is_others else window.phase
    early = window.phase in ("waiting", "preparing")
    runs = read_runs(window.configs, window.feed, ended_only=early)
    text = _status(window, context, runs, early)
    if not runs.runs:
        return Update(text, phase, total=runs.total, number=number)
    return _drawn(window, runs, names)._replace(status=text, phase=phase, number=number)


def _drawn(window: TrainWindow, runs: RunsSnapshot, names: Sequence[str]) -> Update:
    """Everything but the status."""
    view = window.view
    return Update(
        status="",
        phase="",
        charts=window.charts.charts(runs, view, names),
        table=decision(window.verdict) + table(runs, window.stored),
        layers=tuple(runs.layers),
        layer=runs.shown_layer(view.layer),
        arms=tuple(runs.arms),
        arm=runs.shown_arm(view.arm),
        at=_done(runs) if view.at is None else view.at,
        total=runs.total,
    )


def _status(window: TrainWindow, context: Context, runs: RunsSnapshot, early: bool) -> str:
    if early or not runs.runs:
        return before_first_step(window, context.jobs)
    done = _done(runs)
    detail = f"Step {done} of {runs.total}.{_time_left(window, runs)}"
    said = answer(runs, window.view.at, window.verdict, context)
    return said + status(progress_text(window, runs, goes_on(window, context)), detail, done, runs.total)


def _time_left(window: TrainWindow, runs: RunsSnapshot) -> str:
    """While it trains, in words."""
    if window.phase != "running":
        window.time_left.pause()
        return ""
    seconds = window.time_left.seconds(sum(map(steps_done, runs.runs)), runs.total * len(runs.arms))
    return "" if seconds is None else f" About {duration(seconds)} left."


def _done(runs: RunsSnapshot) -> int:
    """Steps of the slowest run that goes on; of the longest where none does."""
    going = [steps_done(run) for run in runs.runs if not run.summary]
    return min(going) if going else max(map(steps_done, runs.runs))
