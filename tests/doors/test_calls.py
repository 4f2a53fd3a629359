"""A bad call gets an answer that says what is wrong with it, and the server's log a line."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from neatlab.dashboard.doors.bodies import MAX_BYTES
from neatlab.dashboard.shared.visitors import MAX_WINDOWS
from tests.browser.conftest import App
from tests.doors.window import Window

pytestmark = pytest.mark.process
CALL = "gradio_api/run/start"
BAD: list[tuple[str, Any, str]] = [
    (CALL, {"data": []}, "missing: task, arms"),
    (CALL, {"data": ["digits"]}, "start takes 7 values, and 1 came; missing: arms"),
    (CALL, {"data": "digits"}, "allowed: the list of values"),
    (CALL, {}, "allowed: the list of values"),
    (CALL, ["digits"], "a call is a JSON object"),
    (CALL, None, "a call is a JSON object"),
    (CALL, {"data": [], "session_hash": 5}, "session_hash 5; allowed"),
    (CALL, {"data": [], "session_hash": "x" * 1000}, "at most 64 characters"),
    ("gradio_api/run/strat", {"data": []}, "did you mean 'start'?"),
    ("gradio_api/call/strat", {"data": []}, "did you mean 'start'?"),
    ("gradio_api/run/predict", {"data": [], "fn_index": 10**9}, "allowed: the number of one of the page's handlers"),
    ("gradio_api/run/predict", {"data": [], "fn_index": True}, "allowed: the number of one of the page's handlers"),
    ("gradio_api/queue/join", {"data": [], "fn_index": -1, "session_hash": "a"}, "one of the page's handlers"),
]
ODD = [None, "x", -1, 10**30, 1.5, [], [[]], {}, {"path": "/etc/passwd"}, ["\0"], True, "x" * 10_000]


def log(server: App) -> str:
    return Path(server.runs.parent / "app.log").read_text()


@pytest.mark.parametrize(("path", "call", "said"), BAD)
def test_a_call_that_cannot_be_is_told_what_is_wrong(
    http: httpx.Client, server: App, path: str, call: Any, said: str
) -> None:
    before = log(server)
    answer = http.post(path, json=call)
    assert answer.status_code == 422
    assert said in answer.json()["error"]
    assert len(log(server).removeprefix(before).splitlines()) == 1


def test_every_handler_takes_any_value_without_a_traceback_and_fails_with_a_message(
    http: httpx.Client, server: App
) -> None:
    window = Window(http)
    for handler in window.handlers:
        values = [ODD[(handler["id"] + place) % len(ODD)] for place in range(len(handler["inputs"]))]
        call = {"data": values, "fn_index": handler["id"], "session_hash": window.session}
        answer = http.post("gradio_api/run/predict", json=call)
        assert answer.status_code == 200 or answer.json()["error"], handler
    assert "Traceback" not in log(server)


def test_a_body_that_is_too_large_is_not_read(http: httpx.Client) -> None:
    whole = http.post(CALL, content=b"[" + b"1," * MAX_BYTES)
    pieces = http.post(CALL, content=(b"[" + b"1," * 2**16 for _ in range(MAX_BYTES // 2**16)))
    assert [answer.status_code for answer in (whole, pieces)] == [413, 413]
    assert all("the limit" in answer.json()["error"] for answer in (whole, pieces))


def test_a_window_is_its_visitors_alone(http: httpx.Client, server: App) -> None:
    window = Window(http)
    own = window.http.post("gradio_api/run/list", json={"data": [], "session_hash": window.session})
    with httpx.Client(base_url=server.url, timeout=120) as other:
        foreign = other.post("gradio_api/run/list", json={"data": [], "session_hash": window.session})
    assert (own.status_code, foreign.status_code) == (200, 429)


def test_a_visitor_has_so_many_windows_and_no_more(server: App) -> None:
    with httpx.Client(base_url=server.url, timeout=120) as http:
        http.get("")
        answers = [
            http.post(CALL, json={"data": [], "session_hash": f"invented {number}"}).status_code
            for number in range(MAX_WINDOWS + 1)
        ]
    assert answers == [422] * MAX_WINDOWS + [429]
