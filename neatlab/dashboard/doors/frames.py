"""Which pages may show this one in a frame: its own and those of this machine, and whose address was given."""

import re
from collections.abc import Iterable, Mapping

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from neatlab.errors import BadInput, shown

ORIGIN = re.compile(r"https?://(\*\.)?[a-z0-9-]+(\.[a-z0-9-]+)*(:\d{1,5}|:\*)?", re.IGNORECASE)
LOCAL = ("http://localhost:*", "http://127.0.0.1:*")  # lessons in notebooks, and pages that one writes
SPACES = ("https://huggingface.co",)  # whose page shows a Space in a frame


def ancestors(given: Iterable[str], is_local: bool, environment: Mapping[str, str]) -> tuple[str, ...]:
    """Whose pages may show this one, besides its own.

    Args:
        given: Origins.
        is_local: Whether only this machine is served.
        environment: Of the process; a Space says there that it is one.

    Raises:
        BadInput: What is no origin.
    """
    for origin in given:
        if not ORIGIN.fullmatch(origin):
            raise BadInput(f"--embed-from {shown(origin)}; give an origin alone, such as https://school.example.org")
    return (*given, *(LOCAL if is_local else ()), *(SPACES if environment.get("SPACE_ID") else ()))


class FrameDoor:
    """Says in every answer which pages may show it in a frame.

    Args:
        app: What is behind.
        allowed: Origins, besides its own.
    """

    def __init__(self, app: ASGIApp, allowed: Iterable[str]) -> None:
        self._app, self._policy = app, " ".join(["frame-ancestors 'self'", *allowed])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def saying(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["content-security-policy"] = self._policy
            await send(message)

        await self._app(scope, receive, saying)
