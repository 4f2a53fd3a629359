"""How much a request may bring."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from neatlab.dashboard.doors.answers import refuse

MAX_BYTES = 4 * 2**20  # of a request that is no upload; the page's own have some kB
MAX_UPLOAD_BYTES = 101 * 2**20  # of an upload: two files of the size that is allowed
UPLOAD = "/gradio_api/upload"


def is_upload(scope: Scope) -> bool:
    """Whether a request brings files."""
    return scope["method"] == "POST" and str(scope["path"]).rstrip("/") == UPLOAD


def declared_size(scope: Scope) -> int:
    """Bytes that an upload may bring: what it says, or the limit."""
    declared = Headers(scope=scope).get("content-length", "")
    return int(declared) if declared.isdecimal() else MAX_UPLOAD_BYTES


class BodyDoor:
    """Refuses bodies that are too large, by what they say and by what comes.

    Args:
        app: What is behind.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        limit = MAX_UPLOAD_BYTES if is_upload(scope) else MAX_BYTES
        message = f"the request is larger than {limit:,} bytes, the limit"
        declared = Headers(scope=scope).get("content-length", "0")
        if not declared.isdecimal() or int(declared) > limit:
            await refuse(scope, receive, send, 413, message)
            return
        counted = _Counted(receive, send, limit)
        try:
            await self._app(scope, counted.receive, counted.send)
        except Exception:
            if not counted.is_over:
                raise
        if counted.is_over and not counted.has_begun:
            await refuse(scope, receive, send, 413, message)


class _Counted:
    """A request whose bytes are counted; from the limit on its reader hears that the sender is gone."""

    def __init__(self, receive: Receive, send: Send, limit: int) -> None:
        self._receive, self._send, self._left = receive, send, limit
        self.is_over = self.has_begun = False

    async def receive(self) -> Message:
        """The next part."""
        message = await self._receive()
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            self.is_over = True
            return {"type": "http.disconnect"}
        return message

    async def send(self, message: Message) -> None:
        """Pass an answer on, but for one to a request that was cut off."""
        if self.is_over and not self.has_begun:
            return
        self.has_begun = True
        await self._send(message)


async def read_whole(receive: Receive) -> bytes | None:
    """A body that `BodyDoor` has limited; None where its sender has gone."""
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


def replay(body: bytes, receive: Receive) -> Receive:
    """A channel that gives a body that was read already, then what comes."""
    waiting = [body]

    async def again() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return again
