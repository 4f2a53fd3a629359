"""The training of one browser window: started, found again after a reload, commanded and left."""

import time
from dataclasses import dataclass, field

from neatlab.config import RunConfig
from neatlab.dashboard.shared.context import Context
from neatlab.dashboard.shared.entries import TRAIN
from neatlab.dashboard.shared.field_error import FieldError
from neatlab.dashboard.shared.job import Command, Job
from neatlab.dashboard.train.charts import ChartCache
from neatlab.dashboard.train.feed import Feed
from neatlab.dashboard.train.request import Order
from neatlab.dashboard.train.snapshot import ViewState
from neatlab.dashboard.train.time_left import TimeLeft
from neatlab.dashboard.train.verdict import Verdict
from neatlab.errors import NeatlabError

MAX_SILENCE = 600.0  # seconds without a word after which a run that is watched counts as stopped


@dataclass
class TrainWindow:
    """What one browser window trains.

    Args:
        feed: Reads its runs.
        order: What it trains or shows; None before the first.
        job: Its training, ended or not; None where all runs were in the store.
        configs: Its runs, as far as known.
        stored: Ids of those that had ended before.
        view: How it wants to see them.
        follower: Whoever updates the window now; an older follower sees that it was replaced.
        charts: Its charts.
        refusal: Why its form cannot be trained, or why its training ended.
        commands: How many commands its buttons have sent.
        slider: Where the page's slider through time stands, and its end; None where that is not known.
        closed: Whether the window is gone.
        has_drawn: Whether its page has drawn what it was sent.
        time_left: How long its training will go on.
        verdict: What it has asked with seeds.
        watched: Id of a run that is only looked on, such as one from outside; None where it shows an order.
    """

    feed: Feed
    order: Order | None = None
    job: Job | None = None
    configs: tuple[RunConfig, ...] = ()
    stored: frozenset[str] = frozenset()
    view: ViewState = field(default_factory=ViewState)
    follower: object | None = None
    charts: ChartCache = field(default_factory=ChartCache)
    refusal: FieldError | None = None
    commands: int = 0
    slider: tuple[int, int] | None = None
    closed: bool = False
    has_drawn: bool = True
    time_left: TimeLeft = field(default_factory=TimeLeft)
    verdict: Verdict | None = None
    watched: str | None = None

    @property
    def phase(self) -> str:
        """The job's, "shown" where there is none, "idle" where there is nothing."""
        if self.job is not None:
            return self.job.phase
        return "shown" if self.order or self.watched else "idle"

    @property
    def is_asking(self) -> bool:
        """Whether more is to come of what it has asked with seeds."""
        return self.verdict is not None and not self.verdict.is_over

    @property
    def active(self) -> Job | None:
        """The job while it has not ended."""
        return self.job if self.job and self.job.phase != "ended" else None

    def show(self, order: Order | None, job: Job | None) -> None:
        """Show another order, or none, with charts of its own."""
        self.order, self.job, self.refusal, self.charts, self.verdict = order, job, None, ChartCache(), None
        self.watched = None

    def clear(self) -> None:
        """Back to the state of a new window."""
        self.show(None, None)
        self.configs, self.stored, self.view = (), frozenset(), ViewState()
        self.follower, self.commands, self.slider = None, 0, None


def start(window: TrainWindow, context: Context, order: Order, first: Command = "go", visitor: str = "") -> None:
    """Show the order's runs in this window, and train those that the store does not hold.

    An order that is in training already is shown from there.

    Args:
        window: The window.
        context: Store and jobs.
        order: What to train.
        first: Its first command.
        visitor: Whoever asks for it.

    Raises:
        BadInput: The queue is full.
    """
    job = context.jobs.find(TRAIN, order)
    if job is not None and not job.stopped:
        leave(window, context)
        resume(window, context, order)
        send_command(window, context, first)
        return
    configs = _known_runs(order)
    stored = frozenset(config.run_id for config in configs if context.store.finished(config))
    is_complete = configs and len(stored) == len(configs)
    job = None if is_complete else context.jobs.submit(TRAIN, order, owner=window, visitor=visitor, first=first)
    leave(window, context)
    window.show(order, job)
    window.view, window.configs, window.stored = ViewState(layer=window.view.layer), configs, stored


def resume(window: TrainWindow, context: Context, order: Order) -> bool:
    """Show what there is of an order, as after a reload: its training if that goes on, else what the store holds.

    Returns:
        Whether there is anything.
    """
    job, configs = context.jobs.find(TRAIN, order), _known_runs(order)
    readable = [config for config in configs if window.feed.read(config)]
    if job is None and not readable:
        return False
    if job is not None:
        job.touch()  # until the page, which may be slow, follows it
    window.show(order, job)
    window.configs = job.runs if job and job.runs else configs
    window.stored = frozenset(config.run_id for config in readable if context.store.finished(config))
    return True


def watch(window: TrainWindow, context: Context, run_id: str) -> None:
    """Show a run of the folder, whoever trains or has trained it, as far as it is; it cannot be commanded from here."""
    leave(window, context)
    window.show(None, None)
    try:
        run = context.store.get(run_id)
    except NeatlabError as error:
        window.refusal = FieldError("run", str(error))
        return
    window.configs, window.stored, window.watched = (run.config,), frozenset(), run_id


def goes_on(window: TrainWindow, context: Context) -> bool:
    """Whether more may come of the run that is watched: it has not ended, and was written to not long ago."""
    if window.watched is None:
        return False
    folder = context.store.root / window.watched
    try:
        written = (folder / "events.jsonl").stat().st_mtime
    except OSError:
        return False
    return not (folder / "summary.json").exists() and time.time() - written < MAX_SILENCE


def _known_runs(order: Order) -> tuple[RunConfig, ...]:
    """The order's runs; none where their sizes are not known before the base model is built."""
    return tuple(order.runs()) if order.match is None else ()


def send_command(window: TrainWindow, context: Context, command: Command) -> bool:
    """Send a command to the window's training; False where that belongs to another window."""
    job = window.active
    if job is not None and job.owned_by(window):
        context.jobs.send(job, command)
        return True
    return job is None


def leave(window: TrainWindow, context: Context) -> None:
    """Stop the window's training, and what it has asked with seeds; one that it only watches goes on."""
    send_command(window, context, "stop")
    stop_asking(window, context)


def stop_asking(window: TrainWindow, context: Context) -> None:
    """Stop what the window has asked with seeds; what another window asked too goes on."""
    job = window.verdict.job if window.verdict else None
    if job is not None and job.phase != "ended" and job.owned_by(window):
        context.jobs.send(job, "stop")
