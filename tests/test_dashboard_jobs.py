"""Trainings in processes of their own: who may start, who waits, who is stopped, and what is said."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from neatlab.config import RunConfig
from neatlab.dashboard import api
from neatlab.dashboard.shared.context import Context
from neatlab.dashboard.shared.job import Job
from neatlab.dashboard.shared.jobs import Jobs
from neatlab.errors import BadInput
from neatlab.runs.store import Store
from tests.dashboard_runs import pair, stored_steps, tiny
from tests.waiting import is_alive
from tests.waiting import wait_until as until

pytestmark = pytest.mark.process

TRAIN, HANG = "tests.job_entries:train", "tests.job_entries:hang"
LONG = 100_000
PATIENCE = 600.0  # longer than a test may take


@contextmanager
def open_jobs(runs: Path, **settings: Any) -> Iterator[Jobs]:
    made = Jobs(runs, **{"unwatched_seconds": PATIENCE, **settings})
    made.warm_up()
    try:
        yield made
    finally:
        made.close()
    until(lambda: not made.active())


@pytest.fixture
def jobs(runs: Path) -> Iterator[Jobs]:
    with open_jobs(runs, at_once=1, max_waiting=2) as made:
        yield made


def plain(*configs: RunConfig) -> list[dict[str, Any]]:
    return [config.model_dump() for config in configs]


def ended(job: Job) -> Callable[[], bool]:
    return lambda: job.phase == "ended"


class TestTraining:
    def test_a_job_trains_its_runs_in_another_process_and_ends(self, jobs: Jobs, runs: Path) -> None:
        job = jobs.submit(TRAIN, plain(*pair()), detached=True)
        until(ended(job))
        assert job.refusal is None
        assert [run.run_id for run in job.runs] == [config.run_id for config in pair()]
        assert all(Store(runs).finished(config) for config in pair())
        assert jobs.get(job.key) is job
        assert jobs.active() == []

    def test_step_trains_one_round_and_pauses_go_ends_the_pause_stop_ends_it_all(self, jobs: Jobs, runs: Path) -> None:
        config = tiny("neat", steps=LONG)
        job = jobs.submit(TRAIN, plain(config), first="step")
        until(lambda: job.phase == "paused" and steps(runs, config) == 1)
        jobs.send(job, "step")
        assert job.phase == "pausing"
        until(lambda: job.phase == "paused")
        assert steps(runs, config) == 2
        jobs.send(job, "go")
        until(lambda: steps(runs, config) > 5)
        jobs.send(job, "pause")
        until(lambda: job.phase == "paused")
        done = steps(runs, config)
        jobs.send(job, "step")
        until(lambda: job.phase == "paused")
        assert steps(runs, config) == done + 1  # not one more: what the pause had let through would be in it
        jobs.send(job, "stop")
        until(ended(job))
        assert Store(runs).get(config.run_id).status == "interrupted"
        assert (job.refusal, job.stopped) == (None, True)

    def test_a_refusal_is_kept_with_its_place(self, jobs: Jobs) -> None:
        job = jobs.submit("tests.job_entries:refuse", "too large")
        until(ended(job))
        assert job.refusal
        assert (job.refusal.field, str(job.refusal)) == ("b", "too large")

    def test_a_process_that_dies_is_said(self, jobs: Jobs) -> None:
        job = jobs.submit("tests.job_entries:die", None)
        until(ended(job))
        assert "ended by itself" in str(job.refusal)

    def test_one_that_does_not_hear_is_killed(self, jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("neatlab.dashboard.shared.jobs.STOP_SECONDS", 0.5)
        job = jobs.submit("tests.job_entries:hang", None)
        until(lambda: job.phase == "running")
        jobs.send(job, "stop")
        until(ended(job))

    def test_a_word_to_one_that_has_ended_changes_nothing(self, jobs: Jobs) -> None:
        job = jobs.submit("tests.job_entries:refuse", "too large")
        until(ended(job))
        jobs.send(job, "pause")
        jobs.send(job, "go")
        assert job.phase == "ended"

    def test_one_whose_window_seems_to_have_left_waits_until_it_is_back(self, jobs: Jobs) -> None:
        first, left, other = (jobs.submit(TRAIN, plain(tiny("neat", LONG, seed))) for seed in range(3))
        until(lambda: first.phase == "running")
        left.seen -= 0.6 * PATIENCE
        jobs.send(first, "stop")
        until(lambda: other.phase == "running")
        assert left.phase == "waiting"
        left.touch()
        jobs.send(other, "stop")
        until(lambda: left.phase == "running")
        jobs.send(left, "stop")

    def test_a_stop_before_the_first_step_is_not_taken_back(self, jobs: Jobs, runs: Path) -> None:
        config = tiny("neat", LONG)
        job = jobs.submit(TRAIN, plain(config))
        jobs.send(job, "stop")
        jobs.send(job, "pause")
        jobs.send(job, "go")
        until(ended(job))
        assert steps(runs, config) == 0

    def test_the_end_of_many_at_once_is_no_failure(self, runs: Path) -> None:
        with open_jobs(runs, at_once=8, max_waiting=100) as jobs:
            made = [jobs.submit(TRAIN, plain(tiny("neat", 1, seed))) for seed in range(16)]
            until(lambda: all(job.phase == "ended" for job in made))
        assert [str(job.refusal) for job in made if job.refusal] == []

    def test_a_message_that_is_not_known_frees_the_place(self, jobs: Jobs) -> None:
        job = jobs.submit(TRAIN, [{"task": "none"}])
        until(ended(job))
        assert "not known" in str(job.refusal)
        until(ended(jobs.submit("tests.job_entries:refuse", "")))

    def test_a_brief_one_has_a_place_beside_the_trainings_and_ends_at_once(
        self, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        long = jobs.submit(TRAIN, plain(tiny("neat", LONG)))
        brief = jobs.submit("tests.job_entries:hang", None, brief=True)
        until(lambda: brief.phase == "running" and long.phase == "running")
        with monkeypatch.context() as patched:
            patched.setattr("neatlab.dashboard.shared.jobs.STOP_SECONDS", PATIENCE)
            jobs.send(brief, "stop")
            until(ended(brief))

    def test_a_visitor_has_one_place_for_brief_ones_and_leaves_the_other_to_others(self, jobs: Jobs) -> None:
        first, second, third = (jobs.submit(HANG, None, brief=True, visitor=name) for name in ("a", "a", "b"))
        until(lambda: first.phase == third.phase == "running")
        assert second.phase == "waiting"
        jobs.send(first, "stop")
        until(lambda: second.phase == "running")

    def test_one_that_takes_too_long_is_stopped_and_gives_its_place_to_the_next(self, jobs: Jobs) -> None:
        slow = jobs.submit(HANG, None, brief=True, visitor="a", seconds=0.2)
        jobs.submit(HANG, None, brief=True, visitor="b")
        third = jobs.submit(HANG, None, brief=True, visitor="c")
        until(lambda: third.phase == "running")
        assert "it took longer than 0.2 s, the limit of this server" in str(slow.refusal)

    def test_the_same_runs_wait_for_one_that_is_being_stopped(self, runs: Path) -> None:
        with open_jobs(runs, at_once=2) as jobs:
            first = jobs.submit(TRAIN, plain(tiny("neat", LONG)))
            until(lambda: first.phase == "running")
            jobs.send(first, "stop")
            second = jobs.submit(TRAIN, plain(tiny("neat", LONG)))
            until(lambda: second.phase == "running")
            assert second.refusal is None

    def test_whoever_started_it_alone_may_stop_it_until_their_window_is_closed(self, jobs: Jobs) -> None:
        first, second = SimpleNamespace(closed=False), SimpleNamespace(closed=False)
        job = jobs.submit(TRAIN, plain(tiny("neat", LONG)), owner=first)
        assert [job.owned_by(window) for window in (first, second)] == [True, False]
        first.closed = True
        assert [job.owned_by(window) for window in (second, first)] == [True, False]


class TestQueue:
    def test_the_second_waits_with_its_place_and_starts_when_the_first_ends(self, jobs: Jobs) -> None:
        first, second, third = (jobs.submit(TRAIN, plain(tiny("neat", LONG, seed))) for seed in (0, 1, 2))
        assert [jobs.position(job) for job in (first, second, third)] == [0, 1, 2]
        with pytest.raises(BadInput, match="2 trainings wait already"):
            jobs.submit(TRAIN, plain(tiny("neat", LONG, 3)))
        until(lambda: first.phase == "running")
        jobs.send(second, "stop")
        assert (second.phase, jobs.position(third)) == ("ended", 1)
        jobs.send(first, "stop")
        until(lambda: third.phase == "running")

    def test_a_quarter_of_the_places_to_wait_at_is_for_others(self, runs: Path) -> None:
        with open_jobs(runs, at_once=0, max_waiting=4) as jobs:
            for seed in range(3):
                jobs.submit(TRAIN, plain(tiny("neat", LONG, seed)), visitor="a")
            with pytest.raises(BadInput, match="3 of yours wait already"):
                jobs.submit(TRAIN, plain(tiny("neat", LONG, 3)), visitor="a")
            assert jobs.submit(TRAIN, plain(tiny("neat", LONG, 4)), visitor="b").phase == "waiting"

    def test_the_same_order_is_found_while_it_goes_on(self, jobs: Jobs) -> None:
        order = plain(tiny("neat", LONG))
        job = jobs.submit(TRAIN, order)
        assert jobs.find(TRAIN, plain(tiny("neat", LONG))) is job
        assert jobs.find(TRAIN, plain(tiny("lora", LONG))) is None
        jobs.send(job, "stop")
        until(ended(job))
        assert jobs.find(TRAIN, order) is None

    def test_two_jobs_never_write_the_same_run(self, runs: Path) -> None:
        shared = tiny("lora", LONG)
        with open_jobs(runs, at_once=2) as jobs:
            first = jobs.submit(TRAIN, plain(shared, tiny("neat", LONG)))
            until(lambda: first.phase == "running")
            second = jobs.submit(TRAIN, plain(shared, tiny("dora", LONG)))
            until(ended(second))
            assert f"run {shared.run_id} is being trained in another window" in str(second.refusal)
            assert first.phase == "running"


class TestLeaving:
    def test_one_that_nobody_looks_at_is_stopped_and_a_kept_one_is_not(self, runs: Path) -> None:
        with open_jobs(runs, at_once=2) as jobs:
            kept, left = (jobs.submit(TRAIN, plain(tiny("neat", LONG, seed)), detached=seed == 0) for seed in (0, 1))
            for job in (kept, left):
                job.seen -= PATIENCE
            until(ended(left))
            until(lambda: kept.phase == "running")
            assert left.stopped
        assert kept.phase == "ended"

    def test_looking_keeps_it_going(self, runs: Path) -> None:
        with open_jobs(runs, at_once=2) as jobs:
            watched, left = (jobs.submit(TRAIN, plain(tiny("neat", LONG, seed))) for seed in (0, 1))
            seen = watched.seen
            watched.touch()
            assert watched.seen > seen
            left.seen -= PATIENCE
            until(ended(left))  # whoever stopped it had come past the other
            assert (watched.stopped, left.stopped) == (False, True)

    def test_closing_leaves_no_process(self, runs: Path) -> None:
        with open_jobs(runs, at_once=2) as jobs:
            before = trainings()
            made = [jobs.submit(TRAIN, plain(tiny("neat", LONG, seed))) for seed in (0, 1, 2)]
            until(lambda: made[0].phase == made[1].phase == "running")
            assert len(trainings()) >= len(before) + 2
        assert [job.phase for job in made] == ["ended"] * 3
        until(lambda: len(trainings()) <= len(before))


def trainings() -> list[psutil.Process]:
    """The server that processes are forked from, and these."""
    found = psutil.Process().children(recursive=True)
    return [child for child in found if is_alive(child)]


def steps(runs: Path, config: RunConfig) -> int:
    exists = (runs / config.run_id / "events.jsonl").exists()
    return stored_steps(Store(runs), config) if exists else 0


def test_a_job_is_said_to_have_ended_only_where_its_runs_were_read_afterwards(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process ends while its runs are read: what was read of the first is not whole."""
    jobs: Any = SimpleNamespace(position=lambda job: 0)
    job = Job("module:function", None, True, 1, phase="running", runs=pair())

    def read(_: object, config: RunConfig) -> dict[str, Any]:
        before, job.phase = job.phase, "ended"
        return {"status": "unfinished" if before == "running" else "finished"}

    monkeypatch.setattr(api._Endpoints, "_run", read)
    endpoints = api._Endpoints(Context(Store(runs), jobs))
    assert endpoints._described(job)["phase"] == "running"
    said = endpoints._described(job)
    assert (said["phase"], {run["status"] for run in said["runs"]}) == ("ended", {"finished"})
