"""Behind a password nothing answers but the login, and whoever guesses waits longer each time."""

import time
from collections.abc import Callable
from contextlib import suppress

from gradio.routes import App
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from neatlab.dashboard.doors.answers import refuse
from neatlab.dashboard.doors.bodies import read_whole, replay

# What the login page is made of, and what says nothing of this server.
OPEN = (
    *("/", "/login", "/logout", "/favicon.ico", "/robots.txt", "/manifest.json", "/pwa_icon", "/theme.css"),
    *(f"/gradio_api/{name}" for name in ("theme.css", "user", "login_check", "token", "startup-events")),
)
OPEN_FOLDERS = ("/static/", "/assets/", "/svelte/")  # of Gradio's wheel
MAX_KEYS = 10_000


class Throttle:
    """How long one has to wait after wrong guesses.

    Args:
        free: Guesses without a wait; after them it doubles, from one second.
        longest: Seconds.
        clock: Gives seconds.
    """

    def __init__(self, free: int, longest: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._free, self._longest, self._clock = free, longest, clock
        self._failures: dict[str, tuple[int, float]] = {}  # key → guesses, when the next is taken

    def wait(self, key: str) -> float:
        """Seconds until the next guess is taken."""
        return max(0.0, self._failures.get(key, (0, 0.0))[1] - self._clock())

    def note(self, key: str) -> None:
        """Note a guess, which counts as wrong until `clear`."""
        count = self._failures.pop(key, (0, 0.0))[0] + 1
        over = count - self._free
        pause = min(2.0 ** min(over, 30), self._longest) if over >= 0 else 0.0
        self._failures[key] = (count, self._clock() + pause)
        if len(self._failures) > MAX_KEYS:
            del self._failures[next(iter(self._failures))]

    def clear(self, key: str) -> None:
        """Forget the guesses: one was right."""
        self._failures.pop(key, None)


class LoginDoor:
    """Lets nobody pass who has not logged in, and slows whoever tries.

    Args:
        app: What is behind.
        gradio_app: Knows who has logged in.
    """

    def __init__(self, app: ASGIApp, gradio_app: App) -> None:
        self._app, self._gradio = app, gradio_app
        self._addresses = Throttle(free=5, longest=60)
        self._names = Throttle(free=20, longest=10)  # short: others must not keep the owner of a name out

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = str(scope["path"]).rstrip("/") or "/"
        if self._gradio.auth is None:
            await self._app(scope, receive, send)
        elif path == "/login" and scope["method"] == "POST":
            await self._log_in(scope, receive, send)
        elif path in OPEN or path.startswith(OPEN_FOLDERS) or self._is_known(scope):
            await self._app(scope, receive, send)
        else:
            await refuse(scope, receive, send, 401, "log in first")

    def _is_known(self, scope: Scope) -> bool:
        name, cookies = self._gradio.cookie_id, Request(scope).cookies
        tokens = (cookies.get(f"access-token-{name}"), cookies.get(f"access-token-unsecure-{name}"))
        return any(token in self._gradio.tokens for token in tokens if token)

    async def _log_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_whole(receive)
        if body is None:
            return
        address, name = (scope.get("client") or ("unknown", 0))[0], await _user(scope, body, receive)
        wait = max(self._addresses.wait(address), self._names.wait(name))
        if wait > 0:
            headers = {"Retry-After": str(int(wait) + 1)}
            await refuse(scope, receive, send, 429, f"too many wrong logins; wait {int(wait) + 1} s", headers)
            return
        self._addresses.note(address)
        self._names.note(name)

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 200:
                self._addresses.clear(address)
                self._names.clear(name)
            await send(message)

        await self._app(scope, replay(body, receive), noting)


async def _user(scope: Scope, body: bytes, receive: Receive) -> str:
    """The name in a login; empty where the form holds none."""
    with suppress(HTTPException):
        form = await Request(scope, replay(body, receive)).form()
        return str(form.get("username", "")).strip()[:200]
    return ""
