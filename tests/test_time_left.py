"""How long a training will go on, by a clock of our own."""

import pytest

from neatlab.dashboard.train.time_left import TimeLeft


class Clock:
    """Seconds that go as a test wants."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def left(clock: Clock) -> TimeLeft:
    return TimeLeft(clock)


def go_on(clock: Clock, left: TimeLeft, seconds: float, done: int, total: int = 1000) -> float | None:
    clock.now += seconds
    return left.seconds(done, total)


def test_nothing_is_said_before_something_was_seen(clock: Clock, left: TimeLeft) -> None:
    assert [go_on(clock, left, 0.3, done) for done in (0, 5, 10)] == [None] * 3
    assert go_on(clock, left, 5, 10) == pytest.approx(990 * 5.6 / 10)
    assert go_on(clock, left, 0, 1000) == 0


def test_the_pace_is_that_of_the_last_seconds(clock: Clock, left: TimeLeft) -> None:
    for done in range(0, 100, 10):
        go_on(clock, left, 10, done)
    assert go_on(clock, left, 10, 190) == pytest.approx(810 * 10 / 100)  # now ten a second, one before


def test_a_pause_and_another_training_start_anew(clock: Clock, left: TimeLeft) -> None:
    go_on(clock, left, 0, 10)
    assert go_on(clock, left, 2, 20) is not None
    assert go_on(clock, left, 2, 5) is None
    left.pause()
    assert go_on(clock, left, 60, 30) is None
    assert go_on(clock, left, 2, 40) == pytest.approx(960 * 2 / 10)
