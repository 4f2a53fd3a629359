"""The folder that uploads lie in, kept within its size: the oldest files go first, in the order in which they came.

No clock says which is the oldest, for that of the machine may be put back.
"""

import os
import threading
from collections.abc import Iterable
from contextlib import suppress
from itertools import count
from pathlib import Path

from neatlab.dashboard.shared.quota import Quota

MIN_BYTES = 2**16  # that a file counts as: very many small ones would fill the folder too


class UploadFolder:
    """A folder of uploads, each finished one in a folder of its own.

    Args:
        path: Where it is.
        each: Bytes that one visitor's files may have.
        total: Bytes that all files may have, those that were made for downloads included.
    """

    def __init__(self, path: Path, each: int, total: int) -> None:
        self._path, self._total = path, total
        self._quota = Quota(each, total)
        self._lock = threading.Lock()
        self._numbers = count()
        self._seen: dict[Path, int] = {}  # file → its number in the order in which they came

    def loose(self) -> frozenset[Path]:
        """The files that lie in the folder itself: uploads on their way, or cut off."""
        return frozenset(path for path in self._path.iterdir() if path.is_file())

    def make_room(self, coming: int) -> None:
        """Remove the oldest files, so that as many bytes may come."""
        with self._lock:
            self._remove_oldest(coming)

    def tidy(self, visitor: str, finished: Iterable[Path], cut_off: Iterable[Path], coming: int = 0) -> None:
        """Remove what is too much.

        Args:
            visitor: Whose upload has ended.
            finished: Its files, the newest now.
            cut_off: Files of uploads that have no end.
            coming: Bytes that uploads on their way may bring, which have their room.
        """
        with self._lock:
            for path in cut_off:
                _remove(path, self._path)
            for path in finished:
                self._take(path, visitor)
            self._remove_oldest(coming)

    def _take(self, path: Path, visitor: str) -> None:
        self._seen[path] = next(self._numbers)
        with suppress(OSError):
            for old in self._quota.take(path, visitor, _size(path)):
                _remove(old, self._path)

    def _remove_oldest(self, coming: int) -> None:
        sizes: dict[Path, int] = {}
        for folder, _, names in os.walk(self._path):  # passes over folders that have just gone
            for path in (Path(folder, name) for name in names if folder != str(self._path)):
                with suppress(OSError):
                    sizes[path] = _size(path)
        self._seen = {path: self._seen[path] if path in self._seen else next(self._numbers) for path in sizes}
        size = sum(sizes.values())
        for path in sorted(sizes, key=lambda path: self._seen[path]):
            if size <= self._total - coming:
                return
            _remove(path, self._path)
            size -= sizes[path]


def _size(path: Path) -> int:
    return max(path.stat().st_size, MIN_BYTES)


def _remove(path: Path, root: Path) -> None:
    """Remove a file, and the folder that Gradio made for it alone."""
    with suppress(OSError):
        path.unlink(missing_ok=True)
        if path.parent.parent == root:
            path.parent.rmdir()
