"""Runs that take turns, who holds them, and the windows that they belong to."""

import threading
from pathlib import Path

import pytest

from neatlab.dashboard.form import Request
from neatlab.dashboard.race import Claims, race
from neatlab.dashboard.sessions import Sessions
from neatlab.errors import BadInput
from neatlab.events import RunFinished, RunStarted, Step
from neatlab.lab import execute
from neatlab.store import Store
from tests.dashboard_runs import pair, stored_steps, tiny


class TestRace:
    def test_the_arms_take_turns_and_both_finish(self, runs: Path) -> None:
        store, configs = Store(runs), pair()
        seen = list(race(configs, store, threading.Event()))
        assert [index for index, event in seen if isinstance(event, Step)] == [0, 1] * 6
        assert sum(isinstance(event, RunFinished) for _, event in seen) == 2
        assert [store.get(config.run_id).status for config in configs] == ["finished", "finished"]

    def test_taking_turns_gives_what_each_run_gives_alone(self, runs: Path, tmp_path: Path) -> None:
        config = tiny("neat")
        alone = [event.loss for event in execute(config, Store(tmp_path / "alone")) if isinstance(event, Step)]
        raced = race((tiny("lora"), config), Store(runs), threading.Event())
        assert [event.loss for index, event in raced if index == 1 and isinstance(event, Step)] == alone

    @pytest.mark.parametrize("after", [1, 4])
    def test_stop_ends_both_before_their_next_step(self, runs: Path, after: int) -> None:
        store, configs, stop, steps = Store(runs), pair(steps=50), threading.Event(), 0
        for _, event in race(configs, store, stop):
            steps += isinstance(event, Step)
            if steps == after:
                stop.set()
        assert sum(stored_steps(store, c) for c in configs if (runs / c.run_id).exists()) == after
        assert store.finished(configs[0]) is None
        assert store.finished(configs[1]) is None

    def test_closing_it_leaves_both_unfinished(self, runs: Path) -> None:
        store, configs = Store(runs), pair(steps=50)
        running = race(configs, store, threading.Event())
        while not isinstance(next(running)[1], Step):
            pass
        running.close()  # type: ignore[attr-defined]
        assert stored_steps(store, configs[0]) == 1
        assert store.get(configs[0].run_id).status == "interrupted"

    def test_a_finished_run_is_left_as_it_is(self, runs: Path) -> None:
        store, configs = Store(runs), pair()
        first = [event for event in execute(configs[0], store) if isinstance(event, RunStarted)]
        assert len(first) == 1
        assert {index for index, _ in race(configs, store, threading.Event())} == {1}
        assert list(race(configs, store, threading.Event())) == []


class TestClaims:
    def test_a_run_is_held_by_one(self) -> None:
        claims, (lora, neat) = Claims(), pair()
        with claims.hold([lora]):
            busy = pytest.raises(BadInput, match=f"run {lora.run_id} is being trained in another window")
            with busy, claims.hold([lora, neat], patience=0):
                pytest.fail("held twice")
            with claims.hold([neat], patience=0):
                pass
        with claims.hold([lora, neat], patience=0):
            pass

    def test_one_waits_for_a_holder_that_lets_go(self) -> None:
        claims, configs, got = Claims(), pair(), threading.Event()

        def wait() -> None:
            with claims.hold(configs, patience=10):
                got.set()

        with claims.hold(configs):
            waiting = threading.Thread(target=wait)
            waiting.start()
            assert not got.wait(0.2)
        waiting.join(timeout=5)
        assert got.is_set()


class TestSessions:
    def test_beginning_again_stops_the_old_training_and_keeps_the_layer(self) -> None:
        sessions, request = Sessions(), Request(pair(), "command")
        first = sessions.begin("window", request)
        first.layer = "q"
        second = sessions.begin("window", request)
        assert (first.stop.is_set(), second.stop.is_set(), second.layer) == (True, False, "q")
        assert sessions.get("window") is second

    def test_closing_a_window_stops_its_training_and_no_other(self) -> None:
        sessions, request = Sessions(), Request(pair(), "command")
        mine, other = sessions.begin("mine", request), sessions.begin("other", request)
        sessions.end("mine")
        sessions.end("never opened")
        assert (mine.stop.is_set(), other.stop.is_set()) == (True, False)
        assert sessions.get("mine") is not mine
