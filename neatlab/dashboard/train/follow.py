"""What a window shows of a training, a few times a second, until it ends."""

import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, NamedTuple

from neatlab.config import RunConfig
from neatlab.dashboard.shared.context import Context
from neatlab.dashboard.shared.entries import TRAIN
from neatlab.dashboard.shared.field_error import Refusal
from neatlab.dashboard.shared.html import status
from neatlab.dashboard.shared.jobs import Job
from neatlab.dashboard.train.charts import Charts, Drawings, Look, Picture, picture, shown_arm, shown_layer, steps_done
from neatlab.dashboard.train.feed import Feed
from neatlab.dashboard.train.request import Order
from neatlab.dashboard.train.summary import table
from neatlab.dashboard.train.words import (
    NO_TABLE,
    PAUSED,
    PAUSING,
    PREPARING,
    READY,
    STARTING,
    STOPPED,
    STOPPING,
    waiting,
)

INTERVAL = 0.19  # seconds between updates
DRAWING_SHARE = 0.25  # of the time, at most; long runs are drawn less often
MOST_CROWDED = 8.0  # times the interval, on the busiest machine
HEARTBEAT = 1.0  # seconds: a window that shows nothing new still hears from us, and we notice if it is gone


@dataclass
class View:
    """One window's training.

    Args:
        order: What it trains or shows; None before the first.
        job: Its training, ended or not; None where all runs were in the store.
        configs: Its runs, as far as known.
        stored: Ids of those that had ended before.
        look: How it wants to see them.
        told: How often its buttons have said something.
        slider: Where the page's slider through time stands, and its end; None where that is not known.
        follower: Whoever updates the window now; an older one sees that it is not its turn any more.
    """

    feed: Feed
    order: Order | None = None
    job: Job | None = None
    configs: tuple[RunConfig, ...] = ()
    stored: frozenset[str] = frozenset()
    look: Look = field(default_factory=Look)
    follower: object | None = None
    drawings: Drawings = field(default_factory=Drawings)
    refusal: Refusal | None = None
    told: int = 0
    slider: tuple[int, int] | None = None
    closed: bool = False

    @property
    def phase(self) -> str:
        """The job's, "shown" where there is none, "idle" where there is nothing."""
        if self.job is not None:
            return self.job.phase
        return "shown" if self.order else "idle"

    @property
    def active(self) -> Job | None:
        """The job while it has not ended."""
        return self.job if self.job and self.job.phase != "ended" else None


NUMBERS = count(time.time_ns() // 1_000_000)  # also after this server's end the next one's are larger


class Update(NamedTuple):
    """What the window shows.

    Args:
        number: Later updates have larger ones; the page drops one that comes after a later one.
    """

    status: str
    phase: str
    charts: Charts = Charts()
    table: str = NO_TABLE
    layers: tuple[str, ...] = ()
    layer: str | None = None
    arms: tuple[str, ...] = ()
    arm: str | None = None
    at: int = 0
    total: int = 0
    number: int = 0


def start(view: View, context: Context, order: Order, first: Any = "go") -> None:
    """Show the order's runs in this window, and train those that the store does not hold.

    An order that is in training already is shown from there.

    Raises:
        BadInput: The queue is full.
    """
    job = context.jobs.find(TRAIN, order)
    if job is not None and not job.stopped:
        leave(view, context)
        resume(view, context, order)
        tell(view, context, first)
        return
    plain = tuple(order.runs()) if order.match is None else ()
    stored = frozenset(c.run_id for c in plain if context.store.finished(c))
    todo = not plain or len(stored) < len(plain)
    job = context.jobs.submit(TRAIN, order, owner=view, first=first) if todo else None
    leave(view, context)
    view.order, view.job, view.refusal, view.drawings = order, job, None, Drawings()
    view.look, view.configs, view.stored = Look(layer=view.look.layer), plain, stored


def resume(view: View, context: Context, order: Order) -> bool:
    """Show what there is of an order, as after a reload: its training if that goes on, else what the store holds.

    Returns:
        Whether there is anything.
    """
    job = context.jobs.find(TRAIN, order)
    plain = tuple(order.runs()) if order.match is None else ()
    there = [c for c in plain if view.feed.read(c)]
    if job is None and not there:
        return False
    view.order, view.job, view.refusal, view.drawings = order, job, None, Drawings()
    view.configs = job.runs if job and job.runs else plain
    view.stored = frozenset(c.run_id for c in there if context.store.finished(c))
    return True


def tell(view: View, context: Context, word: Any) -> bool:
    """Say a word to the window's training; False where that belongs to another window."""
    job = view.active
    if job is not None and job.owned_by(view):
        context.jobs.tell(job, word)
        return True
    return job is None


def leave(view: View, context: Context) -> None:
    """Stop the window's training; one that it only watches goes on."""
    tell(view, context, "stop")


def follow(view: View, context: Context) -> Iterator[Update | None]:
    """Say how the window's training goes, until it ends or another follower takes over.

    Args:
        view: The window.
        context: Store and jobs.

    Yields:
        Updates, the last one with the result; None from a follower that was overtaken: it has nothing to say any more.
    """
    view.follower = me = object()
    shown: tuple[Hashable, ...] = ()
    due = said = 0.0
    while view.follower is me:
        job, ended = view.job, view.active is None
        if job is not None:
            job.look()
        mark, now = _mark(view, context), time.monotonic()
        looked = mark[-1:] != shown[-1:]  # someone waits for it
        if ended or looked or (now >= due and (mark != shown or now >= said + HEARTBEAT)):
            made, wait = _timed(lambda: update(view, context))
            if view.follower is not me or view.look != mark[-1]:
                continue  # what was reset, or is looked at otherwise, since this was begun must not be drawn over
            shown, said, due = mark, now, now + wait
            yield made
        if ended or view.closed:
            return
        time.sleep(0.04)
    yield None  # Gradio empties the outputs of a generator that gives nothing


def _mark(view: View, context: Context) -> tuple[Hashable, ...]:
    """What an update depends on, without reading the runs."""
    job = view.job
    sizes = tuple(_size(context, config) for config in view.configs)
    return (view.phase, job and context.jobs.place(job), job and job.runs, sizes, view.look)


def _size(context: Context, config: RunConfig) -> int:
    try:
        return (context.store.root / config.run_id / "events.jsonl").stat().st_size
    except OSError:
        return 0


def _timed(make: Callable[[], Update]) -> tuple[Update, float]:
    """An update, and seconds until the next.

    Its own time counts, not the clock's: it may wait for the trainings, and must not wait longer for that. But where
    the machine gives it less than half of a core the browser beside it is no better off, and would fall behind.
    """
    clock, own = time.monotonic(), time.thread_time()
    made = make()
    clock, own = time.monotonic() - clock, time.thread_time() - own
    crowded = min(max(1.0, clock / own / 2), MOST_CROWDED) if own > 0 else 1.0
    return made, crowded * max(INTERVAL, own / DRAWING_SHARE)


def update(view: View, context: Context, names: Sequence[str] = Charts._fields) -> Update:
    """The window as the store and its job have it now.

    Args:
        view: The window.
        context: Store and jobs.
        names: The charts asked for.
    """
    number, job = next(NUMBERS), view.job  # before anything is read: a larger number has seen no less
    if job is not None and job.runs:
        view.configs = job.runs
    if job is not None and job.refusal:
        view.refusal = job.refusal
    if view.order is None:
        return Update(READY, "idle", number=number)
    phase = "watching" if view.active and not view.active.owned_by(view) else view.phase
    early = view.phase in ("waiting", "preparing")
    seen = picture(view.configs, view.feed, ended_only=early)
    if not seen.runs:
        return Update(_before(view, context), phase, total=seen.total, number=number)
    done, look = _done(seen), view.look
    said = (
        _before(view, context)
        if early
        else status(_said(view, seen), f"Step {done} of {seen.total}.", done, seen.total)
    )
    return Update(
        said,
        phase,
        view.drawings.charts(seen, look, names),
        table(seen, view.stored),
        tuple(seen.layers),
        shown_layer(seen, look.layer),
        tuple(seen.arms),
        shown_arm(seen, look.arm),
        done if look.at is None else look.at,
        seen.total,
        number,
    )


def _done(seen: Picture) -> int:
    """Steps of the slowest run that goes on; of the longest where none does."""
    going = [steps_done(run) for run in seen.runs if not run.summary]
    return min(going) if going else max(map(steps_done, seen.runs))


def _before(view: View, context: Context) -> str:
    """The status while there is nothing to draw."""
    if view.phase == "waiting" and view.job:
        active = context.jobs.active()
        return waiting(context.jobs.place(view.job), sum(job.phase != "waiting" for job in active))
    if view.job and view.job.stopped:
        return STOPPING if view.active else STOPPED
    before = {"preparing": PREPARING, "running": STARTING, "pausing": PAUSING, "paused": PAUSED}
    return before.get(view.phase, READY)


def _said(view: View, seen: Picture) -> str:
    done = len(seen.runs) == len(seen.arms) and all(run.summary for run in seen.runs)
    notes = []
    if kept := sum(run.run_id in view.stored for run in seen.runs):
        notes.append(f"{kept} of {len(seen.arms)} runs shown from the runs folder, not trained again.")
    if failed := [run.config.arm.label for run in seen.runs if run.status == "failed"]:
        notes.append(f"Diverged: {', '.join(failed)}; see the table.")
    if view.look.at is not None:
        notes.append(f"The cursor is at step {view.look.at}.")
    return " ".join([_doing(view, done), *notes])


_ACTIVE = {"pausing": "Pausing", "paused": "Paused"}


def _doing(view: View, done: bool) -> str:
    if done:
        return "Done."
    if view.active:
        where = "" if view.active.owned_by(view) else " in another window, which alone can pause or stop it"
        word = "Stopping" if view.active.stopped else _ACTIVE.get(view.phase, "Training")
        return f"{word}{where}."
    return "Stopped. What did not finish starts anew, from the same initialisation, with the next Train."
