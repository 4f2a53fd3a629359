"""How a window follows a job that computes for some seconds."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from neatlab.dashboard.shared.job import Job
from neatlab.dashboard.shared.jobs import Jobs

POLL_SECONDS = 0.25


async def follow(
    jobs: Jobs, job: Job, *, seconds: float = POLL_SECONDS, timeout: float = math.inf
) -> AsyncIterator[int]:
    """Watch a job until it ends.

    Args:
        jobs: The queue.
        job: One of its jobs.
        seconds: Time between two looks.
        timeout: Seconds after its start when it is stopped.

    Yields:
        Its position in the queue from 1; 0 once it has started.
    """
    started = math.inf
    while job.phase != "ended":
        job.touch()
        yield jobs.position(job)
        if job.phase != "waiting":
            started = min(started, time.monotonic())
        if time.monotonic() - started > timeout and not job.stopped:
            jobs.send(job, "stop")
        await asyncio.sleep(seconds)


@contextmanager
def stopping(jobs: Jobs, job: Job) -> Iterator[None]:
    """Stop a job that is left before it has ended, as when its window is closed."""
    try:
        yield
    finally:
        if job.phase != "ended":
            jobs.send(job, "stop")


def queue_text(position: int, running: str) -> str:
    """A job's state in words.

    Args:
        position: Its position in the queue; 0 once it has started.
        running: What to say then.
    """
    return f"Waiting for a free place: number {position} in the queue." if position else running
