"""Uploads: how many come at once, and how much stays."""

import time
from contextlib import suppress
from pathlib import Path

import orjson
from anyio.to_thread import run_sync
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from neatlab.dashboard.doors.answers import refuse
from neatlab.dashboard.doors.bodies import is_upload
from neatlab.dashboard.shared.quota import Quota
from neatlab.dashboard.shared.visitors import VISITOR

EACH_BYTES = 200 * 2**20  # that one visitor's uploads may have
TOTAL_BYTES = 2**30  # that the folder may have, what was made for downloads included
AT_ONCE_EACH, AT_ONCE = 3, 12  # uploads on their way, of one visitor and of all


class UploadDoor:
    """Keeps uploads within their quota.

    Args:
        app: What is behind.
        folder: Where Gradio puts them.
        each: Bytes for one visitor.
        total: Bytes of the folder.
    """

    def __init__(self, app: ASGIApp, folder: Path, each: int = EACH_BYTES, total: int = TOTAL_BYTES) -> None:
        self._app, self._folder, self._total = app, folder, total
        self._quota = Quota(each, total)
        self._under_way: list[tuple[str, float]] = []  # visitor, when it began

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not is_upload(scope):
            await self._app(scope, receive, send)
            return
        visitor = str(scope[VISITOR])
        own = sum(other == visitor for other, _ in self._under_way)
        if own >= AT_ONCE_EACH or len(self._under_way) >= AT_ONCE:
            message = f"{own} uploads of yours and {len(self._under_way)} in all are on their way; try again after them"
            await refuse(scope, receive, send, 429, message)
        else:
            await self._pass(visitor, scope, receive, send)

    async def _pass(self, visitor: str, scope: Scope, receive: Receive, send: Send) -> None:
        entry, parts = (visitor, time.time()), [b""]

        async def noting(message: Message) -> None:
            parts.append(message.get("body", b""))
            await send(message)

        self._under_way.append(entry)
        try:
            await self._app(scope, receive, noting)
        finally:
            self._under_way.remove(entry)
            await run_sync(self._tidy, visitor, b"".join(parts))

    def _tidy(self, visitor: str, answer: bytes) -> None:
        """Note the files of an upload, and remove what is too much and what was cut off."""
        for path in _paths(answer):
            with suppress(OSError):
                for old in self._quota.take(path, visitor, path.stat().st_size):
                    old.unlink(missing_ok=True)
        oldest = min((began for _, began in self._under_way), default=time.time())
        remove_oldest(self._folder, self._total, oldest)


def _paths(answer: bytes) -> list[Path]:
    """The files in Gradio's answer to an upload; none where it was refused."""
    with suppress(orjson.JSONDecodeError):
        values = orjson.loads(answer)
        if isinstance(values, list):
            return [Path(value) for value in values if isinstance(value, str)]
    return []


def remove_oldest(folder: Path, total: int, began: float) -> None:
    """Remove uploads that were cut off, then the oldest files until the folder is within its size.

    Args:
        folder: Where uploads lie.
        total: Its size in bytes.
        began: When the oldest upload that is on its way began: what lies in the folder itself and is older has no end.
    """
    files = []
    for path in folder.rglob("*"):
        with suppress(OSError):
            entry = (path.stat().st_mtime, path.stat().st_size, path)
            if path.parent == folder and path.is_file() and entry[0] < began:
                path.unlink()
            elif path.is_file():
                files.append(entry)
    size = sum(entry[1] for entry in files)
    for _, bytes_, path in sorted(files):
        if size <= total:
            return
        path.unlink(missing_ok=True)
        size -= bytes_
