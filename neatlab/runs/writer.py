"""One run directory, written: never seen by half, its events flushed as they happen."""

import contextlib
import os
import shutil
import tempfile
import uuid
from pathlib import Path
from typing import Any

import orjson

from neatlab.config import RunConfig
from neatlab.errors import StoreError
from neatlab.events import Event, RunInterrupted, to_dict
from neatlab.runs.notes import carry_notes
from neatlab.runs.run import read_json, seal
from neatlab.runs.started import start_time
from neatlab.runtime.environment import environment


class RunWriter:
    """Writes one run's directory; one left by an unfinished run is started anew, or resumes after `resume_at` bytes.

    The directory belongs to the writer that started it last: one that was given up for lost, and was not, can
    no longer finish it.
    """

    def __init__(self, path: Path, config: RunConfig, resume_at: int | None = None) -> None:
        self.path = path
        self.config = config
        self._owner = uuid.uuid4().hex
        now = environment(config.training.device)
        now["created"] = start_time(path.parent, now["created"])
        values = config.model_dump()
        stored = {"run": values, "seal": seal(path.name, values), "environment": now, "owner": self._owner}
        if resume_at is None:
            self._begin(stored)
        else:
            write_json(path / "config.json", stored)
            os.truncate(path / "events.jsonl", resume_at)
        self._events = open(path / "events.jsonl", "ab", buffering=0)  # noqa: SIM115  # closed by `close`

    def _begin(self, stored: dict[str, Any]) -> None:
        prefix = f".start-{self.path.name}-"
        for left in self.path.parent.glob(f"{prefix}*"):  # by a process that was killed here
            shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=self.path.parent, prefix=prefix) as folder:
            begun = Path(folder) / self.path.name  # a reader never sees a run without its configuration
            begun.mkdir()
            write_json(begun / "config.json", stored)
            if self.path.exists():
                carry_notes(self.path, begun)
                shutil.rmtree(self.path)
            begun.replace(self.path)

    @property
    def adapter_folder(self) -> Path:
        """Where the trained weights go."""
        return self.path / "adapter"

    def write(self, event: Event) -> None:
        """Append one event, visible to readers at once.

        Raises:
            StoreError: The run's directory was moved or removed, or belongs to another writer.
        """
        self._check_place()
        self._events.write(orjson.dumps(to_dict(event), option=orjson.OPT_APPEND_NEWLINE))

    def _check_place(self) -> None:
        """Notice at the next event that the directory is not there any more: the open file would go along with it."""
        with contextlib.suppress(OSError):
            if os.path.samestat(os.fstat(self._events.fileno()), (self.path / "events.jsonl").stat()):
                return
        if self.path.exists():
            raise StoreError(f"run {self.path.name} was started anew elsewhere; this copy of it is dropped")
        raise StoreError(f"{self.path} is gone, moved or removed while it was written; nothing more is written of it")

    def finish(self, summary: dict[str, Any]) -> None:
        """Write the summary, atomically: from here on the run counts as done.

        Raises:
            StoreError: Another writer has started the run anew.
        """
        if read_json(self.path / "config.json").get("owner") != self._owner:
            raise StoreError(f"run {self.path.name} was started anew elsewhere; this copy of it is dropped")
        write_json(self.path / "summary.json", summary)
        self.close()

    def interrupt(self, step: int) -> None:
        """Say in a run that has not ended that it was stopped."""
        if not self._events.closed:
            with contextlib.suppress(StoreError):  # what is gone needs no last word
                self.write(RunInterrupted(step))

    def reopen(self) -> None:
        """Take up a run that has ended, for what is known of it only afterwards."""
        self.close()
        self._events = open(self.path / "events.jsonl", "ab", buffering=0)  # noqa: SIM115  # closed by `close`

    def close(self) -> None:
        """Release the events file."""
        self._events.close()


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write to a temporary file, then rename: a reader sees the old file, the new one, or none, never half of one."""
    temporary = path.with_suffix(".part")
    with open(temporary, "wb") as file:
        file.write(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
