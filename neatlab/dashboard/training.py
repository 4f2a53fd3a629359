"""The page's training: a generator of updates, a few a second, that ends when its window stops or closes."""

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from neatlab import lab
from neatlab.config import RunConfig
from neatlab.dashboard.form import ARMS, Refusal, Request
from neatlab.dashboard.race import Claims, race
from neatlab.dashboard.sessions import Session
from neatlab.dashboard.view import (
    NO_CHARTS,
    Charts,
    Picture,
    charts,
    learning_chart,
    picture,
    shown_layer,
    steps_done,
    table,
)
from neatlab.dashboard.words import NO_TABLE, PREPARING, READY, STOPPED, status
from neatlab.errors import NeatlabError
from neatlab.store import Store

INTERVAL = 0.22  # seconds between updates
DRAWING_SHARE = 0.2  # of the time, at most; long runs are drawn less often


class Update(NamedTuple):
    """What the page shows: values of the status, charts and table, and the layers to choose from."""

    status: str
    charts: Charts = NO_CHARTS
    table: str = NO_TABLE
    layers: tuple[str, ...] = ()
    layer: str | None = None


class Pace:
    """Says when the next update is due."""

    def __init__(self) -> None:
        self._next = 0.0

    def due(self) -> bool:
        """Whether it is time."""
        return time.monotonic() >= self._next

    def timed(self, draw: Callable[[], Update]) -> Update:
        """Draw, and put the next update so far off that drawing keeps to its share of the time."""
        begin = time.monotonic()
        update = draw()
        cost = time.monotonic() - begin
        self._next = begin + max(INTERVAL, cost / DRAWING_SHARE)
        return update


def follow(session: Session, store: Store, claims: Claims) -> Iterator[Update]:
    """Train what the session asks for and say how it goes.

    Args:
        session: The window; its stop flag ends the training before the next step.
        store: Where the runs go; finished ones are shown from there.
        claims: Which runs are being trained by any window.

    Yields:
        Updates of the page, the last one with the result.

    Raises:
        Refusal: An arm does not fit the task, or a run is taken.
    """
    if session.request is None or session.stop.is_set():  # the latter while it waited for a place
        yield Update(STOPPED if session.request else READY)
        return
    configs = session.request.configs
    yield Update(PREPARING)
    _check(configs)
    try:
        with claims.hold(configs):
            session.stored = frozenset(c.run_id for c in configs if store.finished(c))
            session.begun = set(session.stored)
            yield from _train(session, store, session.request)
    except (NeatlabError, OSError) as error:
        raise Refusal("run", str(error)) from error


def _train(session: Session, store: Store, request: Request) -> Iterator[Update]:
    pace = Pace()
    for index, _ in race(request.configs, store, session.stop):
        session.begun.add(request.configs[index].run_id)
        if pace.due():
            yield pace.timed(lambda: update(session, store))
    yield update(session, store, ended=True)


def update(session: Session, store: Store, ended: bool = False) -> Update:
    """The page as the store has it now.

    Args:
        session: The window.
        store: Where its runs are.
        ended: Whether nothing more will come.
    """
    seen = picture(session.request.configs if session.request else (), session.begun, store)
    if session.request is None or not seen.runs:
        return Update(STOPPED if ended else READY)
    steps = [steps_done(run) for run in seen.runs]
    total = session.request.configs[0].training.steps
    said = status(_phase(seen, session, ended), f"Step {min(steps)} of {total}.", min(steps), total)
    return Update(
        said, _charts(session, seen), table(seen, session.stored), tuple(seen.layers), shown_layer(seen, session.layer)
    )


def _charts(session: Session, seen: Picture) -> Charts:
    """The charts, those of ΔW drawn anew only after a new measurement."""
    mark = (seen.key, shown_layer(seen, session.layer), len(seen.runs), seen.measured)
    if session.drawn and session.drawn[0] == mark:
        return session.drawn[1]._replace(learning=learning_chart(seen))
    session.drawn = (mark, charts(seen, session.layer))
    return session.drawn[1]


def _phase(seen: Picture, session: Session, ended: bool) -> str:
    done = len(seen.runs) == len(seen.arms) and all(run.summary for run in seen.runs)
    if ended and not done:
        return "Stopped. What did not finish starts anew with the next Train."
    kept = sum(run.run_id in session.stored for run in seen.runs)
    failed = [run.config.arm.label for run in seen.runs if run.status == "failed"]
    note = f" {kept} of {len(seen.arms)} runs shown from the runs folder, not trained again." if kept else ""
    note += f" Diverged: {', '.join(failed)}; see the table." if failed else ""
    return ("Done." if done else "Training.") + note


def _check(configs: tuple[RunConfig, RunConfig]) -> None:
    """Build each arm, so that one that does not fit is refused under its own name before anything trains."""
    for part, config in zip(ARMS, configs, strict=True):
        try:
            lab.check([config])
        except NeatlabError as error:
            raise Refusal(part, str(error)) from error
