"""The runs of a folder, each read once and again where its files have changed.

It is held in memory alone: there is no file of it that could be stale or damaged; processes that write at once share
the folder and nothing else.
"""

import os
import re
import threading
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from neatlab.errors import StoreError
from neatlab.runs.outside import OUTSIDE_ID
from neatlab.runs.run import READ_FILES, Run, read_run

RUN_ID = re.compile(rf"[0-9a-f]{{12}}|{OUTSIDE_ID}")
SETTLED_NS = 2 * 10**9  # a file that changed so shortly before may change again without another time of change

FileState = tuple[int, int, int, int] | None  # None where there is no file
State = tuple[FileState, ...]


class Entry(NamedTuple):
    """A run as it was read.

    Args:
        state: Of its files before they were read; None where they may have changed unnoticed since.
        run: What they said, or why they could not be read.
    """

    state: State | None
    run: Run | StoreError

    @property
    def has_ended(self) -> bool:
        """Whether the run can change no more by itself."""
        return isinstance(self.run, Run) and bool(self.run.summary)


class Index:
    """What the runs of a folder are.

    Args:
        root: The folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._entries: dict[str, Entry] = {}

    def entries(self, check: Collection[str] | None = None) -> dict[str, Run | StoreError]:
        """Id → run, or what is wrong with it, of every run that is there.

        Args:
            check: Of the runs that had ended, the ids of those to compare with the disk; None: all.
        """
        with self._lock:
            before = self._entries
            read = {name: self._entry(name, before.get(name), check) for name in sorted(self._names())}
            self._entries = {name: entry for name, entry in read.items() if entry}
            return {name: _copy(entry.run) for name, entry in self._entries.items()}

    def _names(self) -> Iterator[str]:
        try:
            with os.scandir(self._root) as folder:
                yield from (item.name for item in folder if RUN_ID.fullmatch(item.name))
        except FileNotFoundError:
            return

    def _entry(self, name: str, entry: Entry | None, check: Collection[str] | None) -> Entry | None:
        """The run as it is now; None where it was deleted meanwhile."""
        if entry and entry.state and entry.has_ended and not (check is None or name in check):
            return entry
        path = self._root / name
        state = read_state(path)
        if entry and entry.state == state:
            return entry
        settled = max((item[0] for item in state if item), default=0) < time.time_ns() - SETTLED_NS
        try:
            return Entry(state if settled else None, read_run(path))
        except StoreError as error:
            return Entry(state if settled else None, error) if path.exists() else None


def read_state(path: Path) -> State:
    """By what the files of the run in `path` are known to have changed."""
    folder = str(path)
    return tuple(_file_state(f"{folder}/{name}") for name in READ_FILES)


def _file_state(path: str) -> FileState:
    try:
        about = os.stat(path)  # noqa: PTH116  # Path costs as much again, thirty thousand times
    except OSError:
        return None
    return about.st_mtime_ns, about.st_ctime_ns, about.st_size, about.st_ino


def _copy(run: Run | StoreError) -> Run | StoreError:
    """The run without the events that a caller had read of it, which would stay in memory and grow old."""
    return Run(run.path, run.config, run.environment, run.summary, run.notes) if isinstance(run, Run) else run
