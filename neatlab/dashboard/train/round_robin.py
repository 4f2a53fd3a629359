"""Several runs take turns in one generator, one training step each, until all are done or someone says stop."""

import math
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from typing import Any, Protocol

from neatlab.config import RunConfig
from neatlab.events import Event, Step
from neatlab.experiments.execute import execute
from neatlab.runs.store import Store

ROUNDS = {"go": math.inf, "pause": 0, "step": 1}  # command → how many rounds it allows


class Control(Protocol):
    """Says whether the runs go on."""

    def should_continue(self) -> bool:
        """Whether another round may be trained; waits while paused. False ends the training."""


class PipeControl:
    """The page's commands, received through a pipe between two rounds: go, pause, step, stop.

    When a pause has begun the pipe gives ("paused", commands received so far), and no round follows before the next
    command.

    Args:
        pipe: The process's end.
    """

    def __init__(self, pipe: "Connection[Any, str]") -> None:
        self._pipe = pipe
        self._left: float = 0
        self._received = 0

    def should_continue(self) -> bool:
        """Whether another round may be trained; a closed pipe means that the page's server is gone."""
        try:
            while self._pipe.poll() or self._left <= 0:
                if not self._pipe.poll():
                    self._pipe.send(("paused", self._received))
                command = self._pipe.recv()
                self._received += 1
                if command == "stop":
                    return False
                self._left = ROUNDS[command]
        except (EOFError, OSError):
            return False
        self._left -= 1
        return True


def round_robin(configs: Sequence[RunConfig], store: Store, control: Control) -> Iterator[tuple[int, Event]]:
    """Train the runs in turns; those that the store holds already are left as they are.

    Closing the generator, or a control that says no, leaves every run that has not ended unfinished.

    Args:
        configs: The runs.
        store: Where they go.
        control: Asked before each round of one step a run.

    Yields:
        (index of the run, its event), each event after it is in the store.
    """
    unfinished = {index: config for index, config in enumerate(configs) if store.finished(config) is None}
    generators = {index: execute(config, store, is_film=True) for index, config in unfinished.items()}
    waiting = dict(generators)
    try:
        while waiting and control.should_continue():
            for index, generator in list(waiting.items()):
                for event in generator:
                    yield index, event
                    if isinstance(event, Step):
                        break
                else:
                    del waiting[index]
    finally:
        for generator in generators.values():
            generator.close()  # type: ignore[attr-defined]  # `execute` is a generator function
