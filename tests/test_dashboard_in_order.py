"""Answers leave in the order in which a window asked for them."""

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from neatlab.dashboard.shared.in_order import HEADER, MAX_WINDOWS, Turns, in_order


def run(answers: Coroutine[Any, Any, Any]) -> Any:
    """In a thread: beside browser tests an event loop runs in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, answers).result()


def window(name: str, call: str = "") -> Any:
    return SimpleNamespace(session_hash=name, headers={HEADER: call})


def test_the_older_of_two_is_answered_first_however_long_it_takes() -> None:
    asked = threading.Event()
    answers: list[str] = []

    def handler(value: str) -> str:
        if value == "older":
            assert asked.wait(60)
        return value

    answer = in_order(handler)

    async def ask(value: str) -> None:
        answers.append(await answer(window("a"), value))

    async def both() -> None:
        older = asyncio.create_task(ask("older"))
        newer = asyncio.create_task(ask("newer"))
        asyncio.get_running_loop().call_soon(asked.set)  # when both have begun: the loop's calls are in order
        await asyncio.gather(older, newer)

    run(both())
    assert answers == ["older", "newer"]


def test_no_window_waits_for_another() -> None:
    other = threading.Event()

    def handler(request: Any) -> str:
        if request.session_hash == "a":
            assert other.wait(60)
        else:
            other.set()
        return str(request.session_hash)

    async def both() -> list[str]:
        answer = in_order(handler)
        return await asyncio.gather(answer(window("a")), answer(window("b")))

    assert run(both()) == ["a", "b"]


def test_a_handler_that_fails_holds_up_nothing() -> None:
    def handler(value: int) -> float:
        return 1 / value

    async def both() -> list[Any]:
        answer = in_order(handler)
        return await asyncio.gather(answer(window("a"), 0), answer(window("a"), 2), return_exceptions=True)

    failure, result = run(both())
    assert isinstance(failure, ZeroDivisionError)
    assert result == 0.5


def test_what_comes_after_a_newer_call_is_not_done() -> None:
    done: list[int] = []

    async def ask(*numbers: str) -> list[Any]:
        answer = in_order(done.append, late=lambda: "late")
        return [await answer(window("a", number), int(number)) for number in numbers]

    assert run(ask("2", "1", "2", "3")) == [None, "late", None, None]
    assert done == [2, 2, 3]
    assert run(in_order(done.append)(window("a", "1"), 1)) is None  # another handler has a count of its own


@pytest.mark.parametrize("call", ["", "x", "-1", "9" * 5000, "1e3"])
def test_what_is_no_number_is_answered_in_turn(call: str) -> None:
    async def ask() -> list[Any]:
        answer = in_order(lambda value: value)
        return [
            await answer(window("a", "7"), 7),
            await answer(window("a", call), 8),
            await answer(window("b", "1"), 9),
        ]

    assert run(ask()) == [7, 8, 9]


def test_many_windows_take_no_memory_for_good() -> None:
    turns = Turns()
    for index in range(MAX_WINDOWS + 10):
        assert not turns.is_late(str(index), 1)
    assert len(turns._newest) == MAX_WINDOWS
