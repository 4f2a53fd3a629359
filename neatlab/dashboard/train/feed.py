"""Runs as far as they are written: each line of their events is read once, however often one looks."""

import contextlib
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from neatlab.config import RunConfig
from neatlab.errors import StoreError
from neatlab.runs.jsonlines import MAX_EVENTS_BYTES, parse_lines
from neatlab.runs.run import Run, read_run
from neatlab.runtime.files import open_regular


@dataclass
class _Tail:
    """What was read of one events file, and when its run was started: one that is started anew has another file."""

    created: Any = None
    offset: int = 0
    events: list[dict[str, Any]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)  # a follower and a handler may read at once

    def read(self, path: Path, created: Any) -> list[dict[str, Any]]:
        """All whole lines so far of the run that was created at `created`."""
        with self.lock, open_regular(path, MAX_EVENTS_BYTES) as file:
            if created != self.created or path.stat().st_size < self.offset:
                self.created, self.offset, self.events = created, 0, []
            file.seek(self.offset)
            whole = file.read().rpartition(b"\n")[0]
            if whole:
                self.events = [*self.events, *parse_lines(path, whole.split(b"\n"))]
                self.offset += len(whole) + 1
            return self.events


@dataclass(frozen=True)
class LiveRun(Run):
    """A run while it is written.

    Args:
        events: Those that were read so far.
    """

    events: list[dict[str, Any]] = field(default_factory=list)


class Feed:
    """The runs of one window.

    Args:
        root: Runs folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._tails: dict[str, _Tail] = {}

    def read(self, config: RunConfig) -> Run | None:
        """The run as it is now, with its events; None where there is none, or none that can be read."""
        path = self._root / config.run_id
        with contextlib.suppress(StoreError, OSError):
            run = read_run(path)
            tail = self._tails.setdefault(config.run_id, _Tail())
            events = tail.read(path / "events.jsonl", run.environment.get("created"))
            return LiveRun(run.path, run.config, run.environment, run.summary, run.notes, events)
        return None
