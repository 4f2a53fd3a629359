"""How much disk visitors may take, each and in all; the oldest goes first."""

import threading
from pathlib import Path


class Quota:
    """What visitors have on this disk.

    Args:
        each: Bytes that one visitor may have.
        total: Bytes that all may have.
    """

    def __init__(self, each: int, total: int) -> None:
        self._each, self._total = each, total
        self._lock = threading.Lock()
        self._held: dict[Path, tuple[str, int]] = {}  # path → visitor, bytes; the oldest first

    def take(self, path: Path, visitor: str, size: int) -> list[Path]:
        """Note what a visitor has now.

        Args:
            path: Where it lies.
            visitor: Whose it is.
            size: Bytes.

        Returns:
            What is to be removed for it, which is forgotten here.
        """
        with self._lock:
            self._held.pop(path, None)
            self._held = {held: entry for held, entry in self._held.items() if held.exists()}
            own = {held: size for held, (owner, size) in self._held.items() if owner == visitor}
            gone = _oldest(own, self._each - size)
            others = {held: size for held, (_, size) in self._held.items() if held not in gone}
            gone += _oldest(others, self._total - size)
            self._held = {held: entry for held, entry in self._held.items() if held not in gone}
            self._held[path] = (visitor, size)
        return gone


def _oldest(sizes: dict[Path, int], room: int) -> list[Path]:
    """The first of them, as many as leave the others within the room."""
    gone, taken = [], sum(sizes.values())
    for path, size in sizes.items():
        if taken <= room:
            break
        gone.append(path)
        taken -= size
    return gone


def size_of(folder: Path) -> int:
    """Bytes of a folder's files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
