"""Trainings that wait for the test: each run of a sweep is held after its first step until the test lets one go on.

A gate is a pipe in the file system: each byte that the test writes lets one run pass, in whichever process.
"""

import os
import select
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from neatlab.config import RunConfig
from neatlab.events import Evaluated, Event, Step
from neatlab.experiments import cluster
from neatlab.experiments.execute import execute
from neatlab.runs.store import Store

HEARTBEAT = 0.05  # seconds between two reports of a run that is held, as of one that trains


class Gate:
    """The test's side of a gate."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "gate")
        os.mkfifo(self.path)
        self._pipe = os.open(self.path, os.O_RDWR)

    def let_go(self, runs: int = 1) -> None:
        """Let so many runs pass."""
        os.write(self._pipe, b"." * runs)


def install(path: str) -> None:
    """Hold the runs of this process's sweeps at the gate."""
    pipe = os.open(path, os.O_RDWR | os.O_NONBLOCK)

    def held(
        config: RunConfig, store: Store, should_continue: Callable[[Evaluated], bool] | None = None
    ) -> Iterator[Event]:
        with closing(execute(config, store, should_continue)) as events:  # type: ignore[type-var]  # a generator
            for event in events:
                yield event
                while isinstance(event, Step) and event.step == 1 and not _passes(pipe):
                    yield event

    cluster.execute = held


def uninstall() -> None:
    """Hold none any more."""
    cluster.execute = execute


def _passes(pipe: Any) -> bool:
    select.select([pipe], [], [], HEARTBEAT)
    try:
        return bool(os.read(pipe, 1))
    except BlockingIOError:  # empty, or another process was faster
        return False
