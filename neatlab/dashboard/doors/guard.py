"""The doors in their order, put before Gradio's app when it starts."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path

import gradio as gr
from gradio.routes import App
from starlette.types import ASGIApp, Receive, Scope, Send

from neatlab.dashboard.doors.bodies import BodyDoor
from neatlab.dashboard.doors.calls import CallDoor
from neatlab.dashboard.doors.failures import FailureDoor, print_no_tracebacks
from neatlab.dashboard.doors.hosts import HostDoor, TrustedHosts
from neatlab.dashboard.doors.logins import LoginDoor
from neatlab.dashboard.doors.sessions import forget, keep_little
from neatlab.dashboard.doors.uploads import UploadDoor
from neatlab.dashboard.doors.visits import VisitDoor
from neatlab.dashboard.shared.visitors import Visitors


def lifespan(
    demo: gr.Blocks, hosts: TrustedHosts, visitors: Visitors, uploads: Path
) -> Callable[[App], AbstractAsyncContextManager[None]]:
    """What Gradio's app does at its start: it gets the doors before all that it has, its own error pages included.

    Args:
        demo: The page.
        hosts: The names of this server.
        visitors: Tells visitors apart.
        uploads: Where Gradio puts them.
    """

    @asynccontextmanager
    async def guarded(app: App) -> AsyncIterator[None]:
        behind = app.middleware_stack
        if behind is None:
            raise RuntimeError("the app has not been built before its start")
        print_no_tracebacks()
        keep_little()
        door: ASGIApp = UploadDoor(CallDoor(behind, lambda: demo.fns, visitors), uploads)
        door = VisitDoor(BodyDoor(LoginDoor(door, app)), visitors, partial(forget, app))
        app.middleware_stack = _HttpOnly(behind, FailureDoor(HostDoor(door, hosts)))
        yield

    return guarded


class _HttpOnly:
    """Sends HTTP through the doors and everything else past them."""

    def __init__(self, behind: ASGIApp, doors: ASGIApp) -> None:
        self._behind, self._doors = behind, doors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (self._doors if scope["type"] == "http" else self._behind)(scope, receive, send)
