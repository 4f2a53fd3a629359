"""Runs as far as they are written: each line of their events is read once, however often one looks."""

import contextlib
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from neatlab.config import RunConfig
from neatlab.errors import StoreError
from neatlab.runs.jsonlines import parse_lines
from neatlab.runs.run import Run, read_run


@dataclass
class _Tail:
    """What was read of one events file, and when its run was started: one that is started anew has another file."""

    start: Any = None
    offset: int = 0
    events: list[dict[str, Any]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)  # a follower and a handler may read at once

    def read(self, path: Path, start: Any) -> list[dict[str, Any]]:
        """All whole lines so far of the run that was started at `start`."""
        with self.lock, open(path, "rb") as file:
            if start != self.start or path.stat().st_size < self.offset:
                self.start, self.offset, self.events = start, 0, []
            file.seek(self.offset)
            whole = file.read().rpartition(b"\n")[0]
            if whole:
                self.events = [*self.events, *parse_lines(path, whole.split(b"\n"))]
                self.offset += len(whole) + 1
            return self.events


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
            vars(run)["events"] = tail.read(path / "events.jsonl", run.environment.get("created"))
            return run
        return None
