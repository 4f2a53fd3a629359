"""Uploads: how many come at once, and how much stays."""

from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import orjson
from anyio.to_thread import run_sync
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from neatlab.dashboard.doors.answers import refuse
from neatlab.dashboard.doors.bodies import declared_size, is_upload
from neatlab.dashboard.doors.upload_folder import UploadFolder
from neatlab.dashboard.shared.profile import NO_FILES
from neatlab.dashboard.shared.visitors import VISITOR

EACH_BYTES = 200 * 2**20  # that one visitor's uploads may have
TOTAL_BYTES = 2**30  # that the folder may have, what was made for downloads included
DOWNLOADS_SHARE = 16  # of the folder, one in so many bytes is for downloads that are made between two uploads
AT_ONCE_EACH, AT_ONCE = 3, 12  # uploads on their way, of one visitor and of all


class _UnderWay(NamedTuple):
    """An upload on its way, what lay in the folder itself when it began, and the bytes that it may bring."""

    visitor: str
    before: frozenset[Path]
    size: int


class UploadDoor:
    """Keeps uploads within their quota.

    Args:
        app: What is behind.
        folder: Where Gradio puts them.
        each: Bytes for one visitor.
        total: Bytes of the folder; 0 where nothing may be brought.
    """

    def __init__(self, app: ASGIApp, folder: Path, each: int = EACH_BYTES, total: int = TOTAL_BYTES) -> None:
        self._app = app
        self._folder = UploadFolder(folder, each, total)
        self._total = total
        self._under_way: list[_UnderWay] = []  # in the order in which they began

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not is_upload(scope):
            await self._app(scope, receive, send)
            return
        if not self._total:
            await refuse(scope, receive, send, 403, NO_FILES)
            return
        visitor = str(scope[VISITOR])
        own = sum(other.visitor == visitor for other in self._under_way)
        is_much = self._coming() + declared_size(scope) > self._total // 2
        if own >= AT_ONCE_EACH or len(self._under_way) >= AT_ONCE or is_much:
            message = f"{own} uploads of yours and {len(self._under_way)} in all are on their way; try again after them"
            await refuse(scope, receive, send, 429, message)
        else:
            await self._pass(visitor, scope, receive, send)

    async def _pass(self, visitor: str, scope: Scope, receive: Receive, send: Send) -> None:
        entry, parts = _UnderWay(visitor, self._folder.loose(), declared_size(scope)), [b""]

        async def noting(message: Message) -> None:
            parts.append(message.get("body", b""))
            await send(message)

        self._under_way.append(entry)
        try:
            await run_sync(self._folder.make_room, self._needed())
            await self._app(scope, receive, noting)
        finally:
            self._under_way.remove(entry)
            # Only an upload on its way lies in the folder itself: what did before the oldest of them was cut off.
            cut_off = self._under_way[0].before if self._under_way else self._folder.loose()
            await run_sync(self._folder.tidy, visitor, _paths(b"".join(parts)), cut_off, self._needed())

    def _needed(self) -> int:
        """Bytes to leave free."""
        return self._coming() + self._total // DOWNLOADS_SHARE

    def _coming(self) -> int:
        """Bytes that the uploads on their way may bring."""
        return sum(upload.size for upload in self._under_way)


def _paths(answer: bytes) -> list[Path]:
    """The files in Gradio's answer to an upload; none where it was refused."""
    with suppress(orjson.JSONDecodeError):
        values = orjson.loads(answer)
        if isinstance(values, list):
            return [Path(value) for value in values if isinstance(value, str)]
    return []
