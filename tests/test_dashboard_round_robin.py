"""Runs that take turns, and the words that they hear."""

from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import pytest

from neatlab.dashboard.train.round_robin import PipeControl, round_robin
from neatlab.events import RunFinished, RunStarted, Step
from neatlab.experiments.execute import execute
from neatlab.runs.store import Store
from tests.dashboard_runs import pair, stored_steps, tiny


class Rounds:
    """Allows a number of rounds."""

    def __init__(self, left: int) -> None:
        self.left = left

    def should_continue(self) -> bool:
        self.left -= 1
        return self.left >= 0


class TestRace:
    def test_the_arms_take_turns_and_both_finish(self, runs: Path) -> None:
        store, configs = Store(runs), pair()
        seen = list(round_robin(configs, store, Rounds(100)))
        assert [index for index, event in seen if isinstance(event, Step)] == [0, 1] * 6
        assert sum(isinstance(event, RunFinished) for _, event in seen) == 2
        assert [store.get(config.run_id).status for config in configs] == ["finished", "finished"]

    def test_taking_turns_gives_what_each_run_gives_alone(self, runs: Path, tmp_path: Path) -> None:
        config = tiny("neat")
        alone = [event.loss for event in execute(config, Store(tmp_path / "alone")) if isinstance(event, Step)]
        raced = round_robin((tiny("lora"), config), Store(runs), Rounds(100))
        assert [event.loss for index, event in raced if index == 1 and isinstance(event, Step)] == alone

    @pytest.mark.parametrize("rounds", [1, 4])
    def test_it_ends_after_the_rounds_that_are_allowed(self, runs: Path, rounds: int) -> None:
        store, configs = Store(runs), pair(steps=50)
        list(round_robin(configs, store, Rounds(rounds)))
        assert [stored_steps(store, config) for config in configs] == [rounds, rounds]
        assert [store.get(config.run_id).status for config in configs] == ["interrupted", "interrupted"]

    def test_closing_it_leaves_both_unfinished(self, runs: Path) -> None:
        store, configs = Store(runs), pair(steps=50)
        running = round_robin(configs, store, Rounds(100))
        while not isinstance(next(running)[1], Step):
            pass
        running.close()  # type: ignore[attr-defined]
        assert stored_steps(store, configs[0]) == 1
        assert store.get(configs[0].run_id).status == "interrupted"

    def test_a_finished_run_is_left_as_it_is(self, runs: Path) -> None:
        store, configs = Store(runs), pair()
        first = [event for event in execute(configs[0], store) if isinstance(event, RunStarted)]
        assert len(first) == 1
        assert {index for index, _ in round_robin(configs, store, Rounds(100))} == {1}
        assert list(round_robin(configs, store, Rounds(100))) == []


class TestRemote:
    @pytest.mark.parametrize(
        ("words", "rounds"),
        [
            (["step", "stop"], 0),
            (["go", "stop"], 0),
            (["step"], 1),
            (["pause", "step"], 1),
        ],
    )
    def test_words_that_came_before_the_first_round(self, words: list[str], rounds: int) -> None:
        assert self._rounds(words) == rounds

    def test_a_closed_pipe_is_a_stop(self) -> None:
        ours, theirs = Pipe()
        ours.send("go")
        ours.close()
        control = PipeControl(theirs)
        assert not control.should_continue()

    def test_a_pause_holds_until_the_next_word(self) -> None:
        ours, theirs = Pipe()
        control = PipeControl(theirs)
        ours.send("step")
        assert control.should_continue()
        assert not theirs.poll()
        ours.send("go")
        assert [control.should_continue() for _ in range(3)] == [True] * 3
        ours.send("stop")
        assert not control.should_continue()

    def _rounds(self, words: list[str]) -> int:
        """Rounds until it says no; a pause at the end is ended by closing the pipe."""
        ours, theirs = Pipe()
        for word in words:
            ours.send(word)
        control, count = PipeControl(theirs), 0
        while True:
            if words[-1] != "stop" and count == 1:
                ours.close()
            if not control.should_continue():
                return count
            count += 1


def test_steps_of_a_race_stay_together(runs: Path) -> None:
    done: list[Any] = [0, 0]
    for index, event in round_robin(pair(steps=12), Store(runs), Rounds(8)):
        if isinstance(event, Step):
            done[index] = event.step
            assert 0 <= done[0] - done[1] <= 1
    assert done == [8, 8]
