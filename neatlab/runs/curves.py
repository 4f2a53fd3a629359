"""The loss curves of one run as columns, kept beside the run once it has ended: a thousand runs load in a second."""

import contextlib
import os
import struct
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neatlab.errors import StoreError
from neatlab.runs.jsonlines import read_lines
from neatlab.runs.run import Run

SPLITS = ("train", "validation", "test")
COLUMNS = ("step", "loss", "metric", "lr", "seconds")
KINDS = {"Step", "Evaluated"}
SMALL = 32_768  # bytes; a shorter file is parsed as fast as a cache is opened

_HEAD = struct.Struct("<8sQqQI")  # mark, size and mtime of the events, points, checksum
_MARK = b"neatlab1"


class Points(NamedTuple):
    """A run's steps and evaluations in the order of its events, one array a column; NaN where unknown.

    Args:
        split: Index into SPLITS; a step's is "train".
        values: One row each for step, loss, metric, lr, seconds.
    """

    split: NDArray[np.int8]
    values: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.split)


def read_points(run: Run) -> Points:
    """The curve points of a run, from the cache beside it where that is whole and of the same events.

    The cache is never needed: where the folder cannot be written there is none.

    Args:
        run: Running, stopped or ended.

    Raises:
        StoreError: Its events are damaged.
    """
    path = run.path / "events.jsonl"
    key = _key(path) if run.summary else None  # a run that has not ended would only leave stale ones
    if key is None or key[0] < SMALL or _are_parsed(run):
        return make_points(read_events(run), path)
    cached = _load(run.path / "curves.bin", key)
    if cached is None:
        cached = make_points(read_lines(path), path)
        _save(run.path / "curves.bin", key, cached)
    return cached


def read_events(run: Run) -> list[dict[str, Any]]:
    """The run's events, from memory where it has them; they are not kept, which for a thousand runs takes a GiB.

    Raises:
        StoreError: They are damaged.
    """
    return run.events if _are_parsed(run) else read_lines(run.path / "events.jsonl")


def _are_parsed(run: Run) -> bool:
    return "events" in vars(run)


def make_points(events: Iterable[Mapping[str, Any]], path: Path) -> Points:
    """The points among `events`, which were read from `path`.

    Raises:
        StoreError: A split that does not exist, or a value that is not a number.
    """
    chosen = [event for event in events if event.get("type") in KINDS]
    try:
        split = np.array([SPLITS.index(event.get("split", "train")) for event in chosen], dtype=np.int8)
        columns = [np.array([event.get(name) for event in chosen], dtype=np.float64) for name in COLUMNS]
    except (TypeError, ValueError) as error:
        raise StoreError(f"{path}: a step or evaluation that this version does not know: {error}") from error
    return Points(split, np.stack(columns))


def _key(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def _load(path: Path, key: tuple[int, int]) -> Points | None:
    try:
        data = path.read_bytes()
        mark, size, mtime, count, checksum = _HEAD.unpack_from(data)
    except (OSError, struct.error):
        return None
    body = memoryview(data)[_HEAD.size :]
    if (mark, size, mtime) != (_MARK, *key) or len(body) != count * _WIDTH or zlib.crc32(body) != checksum:
        return None
    values = np.frombuffer(body, "<f8", count * len(COLUMNS)).reshape(len(COLUMNS), count)
    return Points(np.frombuffer(body, np.int8, count, values.nbytes), values)


_WIDTH = 8 * len(COLUMNS) + 1  # bytes a point


def _save(path: Path, key: tuple[int, int], points: Points) -> None:
    body = points.values.astype("<f8").tobytes() + points.split.tobytes()
    head = _HEAD.pack(_MARK, *key, len(points), zlib.crc32(body))
    temporary = path.with_suffix(f".{os.getpid()}.part")
    try:
        temporary.write_bytes(head + body)
        temporary.replace(path)
    except OSError:  # read-only, full, or the run is being started anew
        with contextlib.suppress(OSError):
            temporary.unlink()
