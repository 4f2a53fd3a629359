"""What goes wrong behind the doors: a line in the server's log and a message in the answer, never a traceback."""

import sys
from types import SimpleNamespace
from typing import Any

import orjson
from gradio import queueing, routes
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from neatlab.dashboard.doors.answers import LOG, refuse
from neatlab.errors import shown

UNUSABLE = "the server could not use this request; its log has a line about it"


class FailureDoor:
    """Says in one line what fails behind it, and puts a message into an answer that has none.

    Args:
        app: What is behind.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = _Answer(send)
        try:
            await self._app(scope, receive, answer.send)
        except Exception as error:
            if is_worth_logging(error):
                LOG.error("%s %s failed: %s", scope["method"], shown(scope["path"]), described(error))
            if not answer.has_begun:
                await refuse(scope, receive, send, 500, UNUSABLE)


class _Answer:
    """Passes an answer on; where that is a failure without a message, with one."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._failure: Message | None = None
        self._body = b""
        self.has_begun = False

    async def send(self, message: Message) -> None:
        """Take a part of the answer."""
        if message["type"] == "http.response.start" and message["status"] >= 500:
            self._failure = message
        elif self._failure is None:
            self.has_begun = True
            await self._send(message)
        elif message["type"] == "http.response.body":
            await self._take(message)

    async def _take(self, message: Message) -> None:
        self._body += message.get("body", b"")
        if message.get("more_body") or self._failure is None:
            return
        self.has_begun = True
        body = _with_message(self._body)
        length = (b"content-length", str(len(body)).encode())
        headers = [(name, value) for name, value in self._failure["headers"] if name.lower() in _KEPT]
        await self._send({**self._failure, "headers": [*headers, (b"content-type", b"application/json"), length]})
        await self._send({"type": "http.response.body", "body": body})


_KEPT = (b"retry-after", b"set-cookie")


def _with_message(body: bytes) -> bytes:
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError:
        said = None
    values = said if isinstance(said, dict) else {}
    message = values.get("error") or values.get("detail") or UNUSABLE
    return orjson.dumps({"detail": message, **values, "error": message})


def is_worth_logging(error: Exception) -> bool:
    """Whether a failure says more than that a window closed at the wrong moment.

    Where the last event of a window ends while it opens a new stream of updates, Gradio refuses that stream after it
    has begun to answer.
    """
    cause = error.__cause__ if isinstance(error, RuntimeError) else None
    is_late_refusal = isinstance(cause, HTTPException) and cause.status_code == 404
    return not (is_late_refusal or isinstance(error, ClientDisconnect))


def described(error: BaseException) -> str:
    """An error in one line: its kind, what it says, and where in this package or else at all it was raised."""
    places, at = [], error.__traceback__
    while at is not None:
        places.append((at.tb_frame.f_code.co_filename, at.tb_lineno))
        at = at.tb_next
    own = [place for place in places if "neatlab" in place[0]] or places
    where = f" ({own[-1][0].rpartition('site-packages/')[2]}:{own[-1][1]})" if own else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}{where}"


def print_no_tracebacks() -> None:
    """Let Gradio say in a line what it would print a traceback for."""

    def print_exc(*_: Any) -> None:
        error = sys.exception()
        if error is not None:
            LOG.error("a handler failed: %s", described(error))

    for module in (routes, queueing):
        vars(module)["traceback"] = SimpleNamespace(print_exc=print_exc)
