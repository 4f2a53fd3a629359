"""How a window follows a job that computes for some seconds."""

from collections.abc import AsyncIterator
from typing import Any

from neatlab.dashboard.shared.field_error import FieldError
from neatlab.dashboard.shared.follow import follow, queue_text, stopping
from neatlab.dashboard.shared.html import field_messages, plural
from neatlab.dashboard.shared.job import Job
from tests.awaiting import awaited


class FakeJobs:
    """A queue that moves on by one position whenever someone looks."""

    def __init__(self, positions: list[int]) -> None:
        self.positions, self.sent = positions, []  # type: ignore[var-annotated]

    def position(self, job: Job) -> int:
        position = self.positions.pop(0)
        job.phase = "waiting" if position else "running"
        if not self.positions:
            job.phase = "ended"
        return position

    def send(self, job: Job, command: str) -> None:
        self.sent.append(command)
        job.stopped, job.phase = True, "ended"


def new_job() -> Job:
    return Job("module:function", None, False, 1)


def gathered(stream: AsyncIterator[Any]) -> list[Any]:
    async def gather() -> list[Any]:
        return [value async for value in stream]

    return awaited(gather())


def test_the_position_is_said_until_the_job_ends() -> None:
    jobs: Any = FakeJobs([2, 1, 0, 0])
    job = new_job()
    seen = job.seen
    assert gathered(follow(jobs, job, seconds=0)) == [2, 1, 0, 0]
    assert job.seen > seen and jobs.sent == []


def test_one_that_takes_too_long_is_stopped_and_waiting_does_not_count() -> None:
    jobs: Any = FakeJobs([3, 2, 1, 0, 0, 0, 0])
    assert gathered(follow(jobs, new_job(), seconds=0, timeout=-1)) == [3, 2, 1, 0]
    assert jobs.sent == ["stop"]


def test_a_job_that_is_left_is_stopped_and_one_that_has_ended_is_not() -> None:
    jobs: Any = FakeJobs([])
    job = new_job()
    with stopping(jobs, job):
        pass
    with stopping(jobs, job):
        pass
    assert jobs.sent == ["stop"]


def test_the_queue_in_words() -> None:
    assert queue_text(2, "Opening.") == "Waiting for a free place: number 2 in the queue."
    assert queue_text(0, "Opening.") == "Opening."


def test_a_message_stands_at_its_field_alone_and_is_text() -> None:
    assert field_messages(FieldError("b", "<b>"), ("a", "b")) == ["", '<p role="alert">&lt;b&gt;</p>']
    assert field_messages(None, ("a", "b")) == ["", ""]


def test_counts_with_their_nouns() -> None:
    assert [plural(count, "run") for count in (0, 1, 2000)] == ["0 runs", "1 run", "2,000 runs"]
