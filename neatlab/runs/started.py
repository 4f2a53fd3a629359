"""When a run was started: later than all that were started before it in its folder, whatever the clock says.

The order of runs is that of these times, and a machine's clock may be put back.
"""

import uuid
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from neatlab.runtime.files import open_regular

NEWEST = ".neatlab-newest"  # file in a runs folder: when its newest run was started
MAX_BYTES = 100


def start_time(root: Path, now: str) -> str:
    """When a run is started that comes after all others.

    Args:
        root: Runs folder.
        now: What the clock says, in ISO 8601.
    """
    started = _parsed(now)
    with suppress(OSError, ValueError, OverflowError):  # none is known
        started = max(started, _newest(root) + timedelta(milliseconds=1))
    _note(root, started)
    return _text(started)


def note_start(root: Path, started: str) -> None:
    """Note that there is a run which was started then, elsewhere.

    Args:
        root: Runs folder.
        started: In ISO 8601.
    """
    with suppress(ValueError, OverflowError):  # a time that cannot be read has no place in the order
        time = _parsed(started)
        with suppress(OSError, ValueError, OverflowError):
            time = max(time, _newest(root))
        _note(root, time)


def _newest(root: Path) -> datetime:
    with open_regular(root / NEWEST, MAX_BYTES) as file:
        return _parsed(file.read().decode("ascii"))


def _note(root: Path, started: datetime) -> None:
    temporary = root / f"{NEWEST}-{uuid.uuid4().hex}"
    temporary.write_text(_text(started), encoding="ascii")
    temporary.replace(root / NEWEST)


def _parsed(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _text(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds")
