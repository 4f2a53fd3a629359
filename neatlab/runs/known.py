"""Runs that were read before: one is read again only where its files have changed."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from neatlab.runs.run import Run, read_run

State: TypeAlias = tuple[tuple[int, ...], ...]


class KnownRuns:
    """What a folder's runs were when they were read last."""

    def __init__(self) -> None:
        self._runs: dict[str, tuple[State, Run]] = {}

    def read(self, path: Path) -> Run:
        """The run in `path`, without the events that a caller before has read.

        Raises:
            StoreError: It is damaged.
        """
        state, known = _state(path), self._runs.get(path.name)
        if known is None or known[0] != state:
            known = self._runs[path.name] = (state, read_run(path))
        return replace(known[1])

    def keep(self, names: Iterable[str]) -> None:
        """Forget all others."""
        self._runs = {name: self._runs[name] for name in names if name in self._runs}


def _state(path: Path) -> State:
    return tuple(_file_state(path / name) for name in ("config.json", "summary.json"))


def _file_state(path: Path) -> tuple[int, ...]:
    try:
        about = path.stat()
    except OSError:
        return ()
    return about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns
