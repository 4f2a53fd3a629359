"""The queue of jobs: a few at a time, the others in a line with a position that is shown."""

import math
import threading
import time
from collections import deque
from itertools import count
from pathlib import Path
from typing import Any

from neatlab.dashboard.shared.field_error import FieldError
from neatlab.dashboard.shared.job import Command, Job
from neatlab.dashboard.shared.job_process import JobProcesses, warm_up
from neatlab.dashboard.shared.profile import OWN, Profile
from neatlab.errors import BadInput

STOP_SECONDS = 10.0  # a process that does not end by then is killed
MAX_ENDED = 200  # ended jobs whose status can still be asked for
BRIEF_AT_ONCE = 2  # computations of some seconds, none of them for the same visitor as another
BRIEF_SECONDS = 180.0  # that one of them may take
OTHERS_SHARE = 4  # of the places to wait at, one in so many is left to other visitors
POLL_SECONDS = 0.5  # between checks of who is still watched


class Jobs:
    """The jobs of a server.

    Args:
        root: Runs folder.
        at_once: How many train at the same time.
        max_waiting: How many may wait.
        unwatched_seconds: How long a job goes on unwatched: time enough to load a page again.
        memory: Bytes that a brief one may take.
        limits: How long any of them may take, and how many one visitor may have.
    """

    def __init__(
        self,
        root: str | Path,
        at_once: int = 2,
        max_waiting: int = 32,
        unwatched_seconds: float = 30.0,
        memory: int | None = None,
        limits: Profile = OWN,
    ) -> None:
        self._at_once, self._max_waiting, self._unwatched_seconds = at_once, max_waiting, unwatched_seconds
        self._limits = limits
        self._lock = threading.RLock()
        self._active: list[Job] = []
        self._ended: deque[Job] = deque(maxlen=MAX_ENDED)
        self._keys = count(1)
        self._closed = threading.Event()
        self.makers: dict[str, str] = {}  # id of a run → the visitor who has made it
        self._processes = JobProcesses(str(root), self._lock, self.active, memory, self.makers)
        threading.Thread(target=self._watch, name="watch", daemon=True).start()

    def warm_up(self) -> None:
        """Let the server that processes are forked from import its modules now."""
        warm_up()

    def submit(self, entry: str, order: Any, *, detached: bool = False, brief: bool = False, **about: Any) -> Job:
        """Queue a job; it starts as soon as a slot is free.

        Args:
            entry: What its process calls.
            order: What to do.
            detached: Whether it goes on while nobody watches it.
            brief: Whether it computes for seconds and takes no commands; by default it may take BRIEF_SECONDS.
            about: Further fields of the job: owner, visitor, seconds, first.

        Raises:
            BadInput: Too many wait already.
        """
        about |= {"seconds": min(about.get("seconds", BRIEF_SECONDS if brief else math.inf), self._limits.seconds)}
        with self._lock:
            job = Job(entry, order, detached, next(self._keys), brief, **about)
            _check_room(self._active, self._max_waiting, job.visitor, self._limits.each)
            self._active.append(job)
        self._fill()
        return job

    def find(self, entry: str, order: Any) -> Job | None:
        """The job of this order that has not ended."""
        with self._lock:
            return next((job for job in self._active if (job.entry, job.order) == (entry, order)), None)

    def get(self, key: int) -> Job | None:
        """The job with this key; of the detached ones that have ended, the newest are known."""
        with self._lock:
            return next((job for job in [*self._active, *self._ended] if job.key == key), None)

    def active(self) -> list[Job]:
        """Those that have not ended, in the order in which they came."""
        with self._lock:
            return list(self._active)

    def position(self, job: Job) -> int:
        """Its position in the queue from 1; 0 once it has left the queue."""
        with self._lock:
            waiting = [other for other in self._active if other.phase == "waiting"]
            return waiting.index(job) + 1 if job in waiting else 0

    def send(self, job: Job, command: Command) -> None:
        """Send a command to a job; one that waits is stopped at once, or gets the command when it starts."""
        with self._lock:
            if job.phase == "ended" or (job.stopped and command != "stop"):
                return
            if job.phase in ("waiting", "preparing"):
                job.first = command
            if command == "stop":
                self._note_stop(job)
            if job.phase not in ("waiting", "preparing", "ended"):
                self._processes.write(job, command)

    def close(self) -> None:
        """Stop all of them and wait."""
        self._closed.set()
        for job in reversed(self.active()):  # those that wait first, so that none of them starts
            self.send(job, "stop")
            if job.brief:  # it hears no commands
                self._processes.kill(job)
        until = time.monotonic() + STOP_SECONDS
        while self.active() and time.monotonic() < until:
            time.sleep(0.02)
        for job in self.active():
            self._processes.kill(job)

    def _note_stop(self, job: Job) -> None:
        if job.phase == "waiting":
            job.stopped = True
            self._end(job)
        elif job.deadline is None:
            job.stopped, job.deadline = True, time.monotonic() + (0 if job.brief else STOP_SECONDS)

    def _fill(self) -> None:
        """Start those for which a slot is free."""
        with self._lock:
            while not self._closed.is_set():
                waiting = [job for job in self._active if self._may_start(job)]
                if not waiting:
                    return
                waiting[0].phase, waiting[0].started = "preparing", time.monotonic()
                self._processes.start(waiting[0], self._free)

    def _may_start(self, job: Job) -> bool:
        """Whether a slot is free for one that waits; whoever seems to have left is waited for, not trained for."""
        has_left = not job.detached and time.monotonic() - job.seen > self._unwatched_seconds / 2
        return job.phase == "waiting" and not has_left and _has_slot(job, self._active, self._at_once)

    def _free(self, job: Job) -> None:
        """A process is gone: its slot goes to the next."""
        with self._lock:
            job.process = None
            self._end(job)
        self._fill()

    def _end(self, job: Job) -> None:
        job.phase = "ended"
        self._active = [other for other in self._active if other is not job]
        if job.detached:
            self._ended.append(job)

    def _watch(self) -> None:
        """Stop what nobody watches or what takes too long, and kill what does not stop."""
        while not self._closed.wait(POLL_SECONDS):
            now = time.monotonic()
            for job in self.active():
                is_left = not job.detached and now - job.seen > self._unwatched_seconds
                if job.deadline is None and (is_left or job.is_overdue(now)):
                    job.refusal = job.refusal or _overdue(job, now)
                    self.send(job, "stop")
                if job.deadline and now > job.deadline:
                    self._processes.kill(job)
            self._fill()  # whoever seemed to have left may be back


def _overdue(job: Job, now: float) -> FieldError | None:
    late = f"it took longer than {job.seconds:g} s, the limit of this server, and was stopped"
    return FieldError("run", late) if job.is_overdue(now) else None


def _has_slot(job: Job, active: list[Job], at_once: int) -> bool:
    """Whether a job that waits may start."""
    begun = [other.visitor for other in active if other.phase != "waiting" and other.brief == job.brief]
    if job.brief and job.visitor and job.visitor in begun:
        return False
    return len(begun) < (BRIEF_AT_ONCE if job.brief else at_once)


def _check_room(active: list[Job], limit: int, visitor: str, each: int | None) -> None:
    """Refuse a job for which there is no place to wait, or none for this visitor."""
    waiting = [job for job in active if job.phase == "waiting"]
    if len(waiting) >= limit:
        raise BadInput(f"{limit} trainings wait already; try again in a minute")
    own = sum(job.visitor == visitor for job in waiting) if visitor else 0
    if own >= limit - limit // OTHERS_SHARE:
        raise BadInput(f"{own} of yours wait already, and the other places are for others; try again in a minute")
    begun = sum(job.visitor == visitor for job in active)
    if each is not None and begun >= each:
        raise BadInput(f"{begun} of yours train or wait already, the most that this server takes; try again after them")
