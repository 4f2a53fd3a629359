"""Trainings in processes of their own: a few at a time, the others in a queue with a place that one can see.

The processes are forked from a server that has imported torch once, so that a training begins in a fraction of a
second; where the system cannot fork they are started afresh.
"""

import contextlib
import multiprocessing as mp
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from itertools import count
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Literal

from neatlab.config import RunConfig
from neatlab.dashboard.shared.entries import PRELOADED
from neatlab.dashboard.shared.field_error import Refusal
from neatlab.errors import BadInput, NeatlabError

Word = Literal["go", "pause", "step", "stop"]
Phase = Literal["waiting", "preparing", "running", "pausing", "paused", "ended"]

FORKED = "forkserver" in mp.get_all_start_methods()
STOP_SECONDS = 10.0  # a process that does not end by then is killed
REMEMBERED = 200  # ended trainings whose status can still be asked for
PULSE = 0.5  # seconds between looks at who is still watched


@dataclass(eq=False)
class Job:
    """One training.

    Args:
        entry: What its process calls, "module:function", with the order, the runs folder and a pipe.
        order: What to train.
        kept: Whether it goes on while nobody looks.
        brief: Whether it computes for seconds and hears nothing: it has a place of its own beside the trainings.
        owner: Who may pause and stop it.
        phase: Where it is; "pausing" until its process has answered that it waits.
        words: How many words its process was sent.
        runs: Its runs, once the process knows them.
        refusal: Why nothing was trained, or why it ended early.
        result: What a process that computes, and trains nothing, has found.
        seen: When someone last looked, on the monotonic clock.
    """

    entry: str
    order: Any
    kept: bool
    key: int
    brief: bool = False
    owner: Any = None
    first: Word = "go"
    phase: Phase = "waiting"
    words: int = 0
    runs: tuple[RunConfig, ...] = ()
    refusal: Refusal | None = None
    result: Any = None
    stopped: bool = False
    seen: float = field(default_factory=time.monotonic)
    deadline: float | None = None
    process: BaseProcess | None = None
    pipe: "Connection[Any, Any] | None" = None

    def owned_by(self, window: Any) -> bool:
        """Whether a window may pause and stop it: it has started it, or whoever did is closed, as after a reload."""
        if self.owner is None or self.owner.closed:
            self.owner = window
        return self.owner is window

    def look(self) -> None:
        """Say that someone is looking."""
        self.seen = time.monotonic()


class Jobs:
    """The trainings of one server.

    Args:
        root: Runs folder.
        at_once: How many train at the same time.
        most: How many may wait.
        patience: Seconds for which a training goes on unwatched: time enough to load a page again.
    """

    def __init__(self, root: str | Path, at_once: int = 2, most: int = 32, patience: float = 15.0) -> None:
        self._root, self._at_once, self._most, self._patience = str(root), at_once, most, patience
        self._context: Any = mp.get_context("forkserver" if FORKED else "spawn")
        self._lock = threading.RLock()
        self._active: list[Job] = []
        self._ended: deque[Job] = deque(maxlen=REMEMBERED)
        self._keys = count(1)
        self._children = threading.Lock()  # to start a process asks after all others, as to join one does
        self._closed = threading.Event()
        threading.Thread(target=self._watch, name="watch", daemon=True).start()

    def warm_up(self) -> None:
        """Let the server that processes are forked from import its modules now."""
        if FORKED:
            forkserver.set_forkserver_preload(PRELOADED)
            forkserver.ensure_running()

    def submit(
        self, entry: str, order: Any, *, kept: bool = False, brief: bool = False, owner: Any = None, first: Word = "go"
    ) -> Job:
        """Queue a training; it starts as soon as there is a place.

        Args:
            entry: What its process calls.
            order: What to train.
            kept: Whether it goes on while nobody looks.
            brief: Whether it computes for seconds and hears nothing.
            owner: Who may pause and stop it.
            first: What it is told at the start: "go", or "step" for one step and a pause.

        Raises:
            BadInput: Too many wait already.
        """
        with self._lock:
            if sum(job.phase == "waiting" for job in self._active) >= self._most:
                raise BadInput(f"{self._most} trainings wait already; try again in a minute")
            job = Job(entry, order, kept, next(self._keys), brief, owner, first)
            self._active.append(job)
        self._fill()
        return job

    def find(self, entry: str, order: Any) -> Job | None:
        """The training of this order that has not ended."""
        with self._lock:
            return next((job for job in self._active if (job.entry, job.order) == (entry, order)), None)

    def get(self, key: int) -> Job | None:
        """The training with this key; of the kept ones that have ended, the newest are known."""
        with self._lock:
            return next((job for job in [*self._active, *self._ended] if job.key == key), None)

    def active(self) -> list[Job]:
        """Those that have not ended, in the order in which they came."""
        with self._lock:
            return list(self._active)

    def place(self, job: Job) -> int:
        """Its place in the queue from 1; 0 once it has left the queue."""
        with self._lock:
            waiting = [other for other in self._active if other.phase == "waiting"]
            return waiting.index(job) + 1 if job in waiting else 0

    def tell(self, job: Job, word: Word) -> None:
        """Say go, pause, step or stop to a training; one that waits is stopped at once, or changes its first word."""
        with self._lock:
            if job.phase == "ended" or (job.stopped and word != "stop"):
                return
            if job.phase == "waiting":
                job.first = word
                if word == "stop":
                    job.stopped = True
                    self._end(job)
                return
            if word == "stop" and job.deadline is None:
                job.stopped, job.deadline = True, time.monotonic() + (0 if job.brief else STOP_SECONDS)
            if job.phase == "preparing":
                job.first = word
            else:
                self._send(job, word)

    def close(self) -> None:
        """Stop all of them and wait."""
        self._closed.set()
        for job in reversed(self.active()):  # those that wait first, so that none of them starts
            self.tell(job, "stop")
        until = time.monotonic() + STOP_SECONDS
        while self.active() and time.monotonic() < until:
            time.sleep(0.02)
        for job in self.active():
            self._kill(job)

    def _fill(self) -> None:
        """Start those that have a place."""
        with self._lock:
            while not self._closed.is_set():
                waiting = [job for job in self._active if job.phase == "waiting" and self._has_place(job)]
                if not waiting:
                    return
                self._start(waiting[0])

    def _has_place(self, job: Job) -> bool:
        begun = sum(other.phase != "waiting" and other.brief == job.brief for other in self._active)
        return begun < (1 if job.brief else self._at_once)

    def _start(self, job: Job) -> None:
        job.phase = "preparing"
        job.pipe, theirs = pipes = self._context.Pipe()
        job.process = self._context.Process(target=enter, args=(job.entry, job.order, self._root, theirs))
        told = (job, job.process, *pipes)
        threading.Thread(target=self._follow, args=told, name=f"job {job.key}", daemon=True).start()

    def _follow(
        self, job: Job, process: BaseProcess, pipe: "Connection[Any, Any]", theirs: "Connection[Any, Any]"
    ) -> None:
        """Start its process and hear what it says, until it ends; whatever happens, its place is free again."""
        try:
            with self._children:
                process.start()
            theirs.close()
            while True:
                self._hear(job, *pipe.recv())
        except (EOFError, OSError):
            pass
        except (NeatlabError, TypeError, ValueError) as error:
            job.refusal, job.stopped = Refusal("run", f"the training process said what is not known: {error}"), True
            self._kill(job)
        finally:
            self._conclude(job, process)
            pipe.close()
            self._fill()

    def _conclude(self, job: Job, process: BaseProcess) -> None:
        """Wait for its process, and say it where that ended by itself."""
        code = None
        if process.pid is not None:
            wait([process.sentinel])
            with self._children:
                process.join()
                code = process.exitcode
        if code != 0 and not job.refusal and not job.stopped:
            job.refusal = Refusal("run", f"the training process ended by itself ({code}); Train starts it anew")
        with self._lock:
            job.process = None
            self._end(job)

    def _hear(self, job: Job, kind: str, *values: Any) -> None:
        if kind == "refused":
            part, said = values
            job.refusal = Refusal(part, said)
            return
        if kind == "result":
            job.result = values[0]
            return
        if kind == "paused":
            self._paused(job, values[0])
            return
        runs = tuple(RunConfig.parse(config, "run") for config in values[0])
        while (other := self._taken(runs)) and other[0].stopped:  # it will be gone in a moment
            time.sleep(0.05)
        with self._lock:
            if taken := self._taken(runs):
                job.refusal = Refusal(
                    "run", f"run {taken[1]} is being trained in another window; wait, or take another seed"
                )
                job.first = "stop"
            job.runs = () if taken else runs
            job.phase = "running"
            self._send(job, job.first)

    def _paused(self, job: Job, heard: int) -> None:
        """Its process waits for a word; an answer to an earlier word than the last says nothing."""
        with self._lock:
            if job.phase == "pausing" and heard == job.words:
                job.phase = "paused"

    def _taken(self, runs: Sequence[RunConfig]) -> tuple[Job, str] | None:
        """Another training and a run that both write: two processes must not share a run's directory."""
        ids = {run.run_id for run in runs}
        with self._lock:
            return next(((job, run.run_id) for job in self._active for run in job.runs if run.run_id in ids), None)

    def _send(self, job: Job, word: Word) -> None:
        if word != "stop":
            job.phase = "running" if word == "go" else "pausing"
        job.words += 1
        try:
            if job.pipe:
                job.pipe.send(word)
        except OSError:
            pass  # it has just ended

    def _end(self, job: Job) -> None:
        job.phase = "ended"
        self._active = [other for other in self._active if other is not job]
        if job.kept:
            self._ended.append(job)

    def _watch(self) -> None:
        """Stop what nobody looks at, and kill what does not stop."""
        while not self._closed.wait(PULSE):
            now = time.monotonic()
            for job in self.active():
                if not job.kept and job.deadline is None and now - job.seen > self._patience:
                    self.tell(job, "stop")
                if job.deadline and now > job.deadline:
                    self._kill(job)

    def _kill(self, job: Job) -> None:
        with contextlib.suppress(OSError, ValueError, AttributeError):  # it has just ended, or not yet begun
            job.process.kill()  # type: ignore[union-attr]


def enter(entry: str, order: Any, root: str, pipe: "Connection[Any, Any]") -> None:
    """A training process's first call: its modules are imported here, never by the page's server."""
    module, _, name = entry.partition(":")
    try:
        getattr(import_module(module), name)(order, root, pipe)
    except KeyboardInterrupt:  # Ctrl+C reaches the whole group; the page's server says goodbye for all
        pass
    finally:
        pipe.close()
