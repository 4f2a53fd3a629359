"""A job of the page's server: what is to be done in a process of its own, and how far it is."""

import math
import time
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Literal

from neatlab.config import RunConfig
from neatlab.dashboard.shared.field_error import FieldError

Command = Literal["go", "pause", "step", "stop"]
Phase = Literal["waiting", "preparing", "running", "pausing", "paused", "ended"]


@dataclass(eq=False)
class Job:
    """A training, or a computation of some seconds.

    Args:
        entry: What its process calls, "module:function", with the order, the runs folder and a pipe.
        order: What to do.
        detached: Whether it goes on while nobody watches it.
        key: Its number on this server.
        brief: Whether it computes for seconds and takes no commands: it has a slot of its own.
        owner: The window that may pause and stop it.
        visitor: Whoever asked for it; empty where that is not known.
        seconds: How long its process may go on.
        first: The command that its process gets at the start.
        phase: How far it is; "pausing" until its process has confirmed that it is paused.
        commands: How many commands its process was sent.
        runs: Its runs, once the process has reported them.
        refusal: Why nothing was done, or why it ended early.
        result: What a process that trains nothing has computed.
        stopped: Whether it was told to stop.
        seen: When someone last watched it, on the monotonic clock.
        started: When its process was started; None while it waits.
        deadline: When its process is killed; None while it may go on.
    """

    entry: str
    order: Any
    detached: bool
    key: int
    brief: bool = False
    owner: Any = None
    visitor: str = ""
    seconds: float = math.inf
    first: Command = "go"
    phase: Phase = "waiting"
    commands: int = 0
    runs: tuple[RunConfig, ...] = ()
    refusal: FieldError | None = None
    result: Any = None
    stopped: bool = False
    seen: float = field(default_factory=time.monotonic)
    started: float | None = None
    deadline: float | None = None
    process: BaseProcess | None = None
    pipe: "Connection[Any, Any] | None" = None

    def owned_by(self, window: Any) -> bool:
        """Whether a window may pause and stop it: it has started it, or whoever did is closed, as after a reload."""
        if self.owner is None or self.owner.closed:
            self.owner = window
        return self.owner is window

    def is_overdue(self, now: float) -> bool:
        """Whether its process has had all the time that it may have."""
        return self.started is not None and now - self.started > self.seconds

    def touch(self) -> None:
        """Say that someone is watching."""
        self.seen = time.monotonic()
