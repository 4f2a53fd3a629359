"""Several runs take turns in one generator, one training step each, until all are done or someone says stop."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from neatlab.config import RunConfig
from neatlab.errors import BadInput
from neatlab.events import Event, Step
from neatlab.lab import execute
from neatlab.store import Store

POLL = 0.05  # seconds between looks at a run that someone else is about to release


def race(configs: Sequence[RunConfig], store: Store, stop: threading.Event) -> Iterator[tuple[int, Event]]:
    """Train the runs in turns; those that the store holds already are left as they are.

    Closing the generator, or setting `stop`, ends every run before its next step and leaves it unfinished.

    Args:
        configs: The runs.
        store: Where they go.
        stop: Looked at before each step.

    Yields:
        (index of the run, its event), each event after it is in the store.
    """
    lanes = {i: execute(config, store) for i, config in enumerate(configs) if store.finished(config) is None}
    waiting = dict(lanes)
    try:
        while waiting and not stop.is_set():
            for index, lane in list(waiting.items()):
                for event in _turn(lane, stop):
                    yield index, event
                    if isinstance(event, Step):
                        break
                else:
                    del waiting[index]
    finally:
        for lane in lanes.values():
            lane.close()  # type: ignore[attr-defined]  # `execute` is a generator function


def _turn(lane: Iterator[Event], stop: threading.Event) -> Iterator[Event]:
    """The lane's next events, each only after a look at `stop`."""
    while not stop.is_set():
        event = next(lane, None)
        if event is None:
            return
        yield event


class Claims:
    """Which runs are being trained: two windows must not write one run's directory at the same time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken: set[str] = set()

    @contextmanager
    def hold(self, configs: Sequence[RunConfig], patience: float = 3.0) -> Iterator[None]:
        """Hold the runs while the block lasts.

        Args:
            configs: The runs.
            patience: Seconds to wait for a holder that has just been stopped.

        Raises:
            BadInput: Another window is training one of them.
        """
        ids = {config.run_id for config in configs}
        until = time.monotonic() + patience
        while taken := self._try(ids):
            if time.monotonic() > until:
                raise BadInput(f"run {taken} is being trained in another window; wait for it, or take another seed")
            time.sleep(POLL)
        try:
            yield
        finally:
            with self._lock:
                self._taken -= ids

    def _try(self, ids: set[str]) -> str | None:
        """Take all of `ids`, or none: then the id of one that is taken."""
        with self._lock:
            busy = sorted(ids & self._taken)
            if not busy:
                self._taken |= ids
            return busy[0] if busy else None
