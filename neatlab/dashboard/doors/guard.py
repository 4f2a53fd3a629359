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
from neatlab.dashboard.doors.frames import FrameDoor
from neatlab.dashboard.doors.hosts import HostDoor, TrustedHosts
from neatlab.dashboard.doors.logins import LoginDoor
from neatlab.dashboard.doors.scripts import ScriptDoor
from neatlab.dashboard.doors.sessions import forget, keep_little
from neatlab.dashboard.doors.uploads import TOTAL_BYTES, UploadDoor
from neatlab.dashboard.doors.visits import VisitDoor
from neatlab.dashboard.shared.context import Context


def lifespan(
    demo: gr.Blocks, hosts: TrustedHosts, context: Context, uploads: Path, frames: tuple[str, ...] = ()
) -> Callable[[App], AbstractAsyncContextManager[None]]:
    """What Gradio's app does at its start: it gets the doors before all that it has, its own error pages included.

    Args:
        demo: The page.
        hosts: The names of this server.
        context: Tells visitors apart, and says what they may bring.
        uploads: Where Gradio puts that.
        frames: Whose pages may show this one in a frame.
    """

    @asynccontextmanager
    async def guarded(app: App) -> AsyncIterator[None]:
        behind = app.middleware_stack
        if behind is None:
            raise RuntimeError("the app has not been built before its start")
        print_no_tracebacks()
        keep_little()
        visitors, total = context.visitors, TOTAL_BYTES if context.profile.takes_files else 0
        door: ASGIApp = UploadDoor(CallDoor(ScriptDoor(behind), lambda: demo.fns, visitors), uploads, total=total)
        door = VisitDoor(BodyDoor(LoginDoor(door, app)), visitors, partial(forget, app))
        app.middleware_stack = _HttpOnly(behind, FrameDoor(FailureDoor(HostDoor(door, hosts)), frames))
        yield

    return guarded


class _HttpOnly:
    """Sends HTTP through the doors and everything else past them."""

    def __init__(self, behind: ASGIApp, doors: ASGIApp) -> None:
        self._behind, self._doors = behind, doors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (self._doors if scope["type"] == "http" else self._behind)(scope, receive, send)
