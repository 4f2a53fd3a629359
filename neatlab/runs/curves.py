"""The loss curves of one run as columns, cached once it has ended: a thousand runs load in a second."""

import contextlib
import os
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from neatlab.errors import StoreError
from neatlab.runs.jsonlines import read_lines
from neatlab.runs.run import Run

SPLITS = ("train", "validation", "test")
COLUMNS = ("step", "loss", "metric", "lr", "seconds")
KINDS = {"Step", "Evaluated"}
CACHE = "curves.safetensors"
SMALL = 32_768  # bytes; a shorter file is parsed as fast as a cache is opened


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
    """The curve points of a run, from its cache where that is whole and of the same events.

    The cache is never needed: where the folder cannot be written there is none.

    Args:
        run: Running, stopped or ended.

    Raises:
        StoreError: Its events are damaged.
    """
    path = run.path / "events.jsonl"
    state = _state(path) if run.summary else None  # a run that has not ended would only leave stale ones
    if state is None or state[0] < SMALL or _are_parsed(run):
        return make_points(read_events(run), path)
    cached = _load(run.path / CACHE, state)
    if cached is None:
        cached = make_points(read_lines(path), path)
        _save(run.path / CACHE, state, cached)
    return cached


def read_events(run: Run) -> list[dict[str, Any]]:
    """The run's events, from memory where it has them; they are not cached, which for a thousand runs takes a GiB.

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


def _state(path: Path) -> tuple[int, int] | None:
    """Size and time of the last change; None where there is no file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def _load(path: Path, state: tuple[int, int]) -> Points | None:
    """The cache in `path`; None where it is damaged or of other events than those in this state."""
    try:
        with safe_open(path, "np") as file:
            key, points = file.metadata()["events"], Points(file.get_tensor("split"), file.get_tensor("values"))
    except (OSError, SafetensorError, KeyError, TypeError):
        return None
    return points if key == _key(state, points) else None


def _key(state: tuple[int, int], points: Points) -> str:
    """What a cache is recognised by: the state of the events that it was made from, and a checksum of its values."""
    return "{} {} {}".format(*state, zlib.crc32(points.values.tobytes() + points.split.tobytes()))


def _save(path: Path, state: tuple[int, int], points: Points) -> None:
    temporary = path.with_suffix(f".{os.getpid()}.part")
    try:
        temporary.write_bytes(save(points._asdict(), {"events": _key(state, points)}))
        temporary.replace(path)
    except OSError:  # read-only, full, or the run is being started anew
        with contextlib.suppress(OSError):
            temporary.unlink()
