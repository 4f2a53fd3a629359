"""Runs on disk: a directory each, its name the hash of its configuration, its summary written last.

config.json      the configuration, package versions, device
events.jsonl     one event a line, flushed as it happens
adapter/         what was trained, as safetensors
summary.json     the result; its presence means that the run ended by itself
"""

import os
import re
import shutil
import tempfile
import uuid
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson

from neatlab.config import RunConfig
from neatlab.errors import BadInput, StoreError
from neatlab.events import Event, RunFailed, to_dict
from neatlab.runs.jsonlines import read_lines
from neatlab.runtime.environment import environment
from neatlab.runtime.files import PathLike

RUN_ID = re.compile(r"[0-9a-f]{12}")
ENDED = ("finished", "failed", "pruned")
COUNTS = ("adapter_params", "trainable_params")


@dataclass(frozen=True)
class Run:
    """One run directory that could be read.

    Args:
        path: The directory.
        config: What was run.
        environment: Package versions, device and start time.
        summary: The result; empty while the run is not finished.
    """

    path: Path
    config: RunConfig
    environment: dict[str, Any]
    summary: dict[str, Any]

    @property
    def run_id(self) -> str:
        """The directory's name."""
        return self.path.name

    @property
    def status(self) -> str:
        """One of finished, failed (diverged), pruned, interrupted (stopped), unfinished (running or killed)."""
        if self.summary:
            return str(self.summary["status"])
        return "interrupted" if _ends_with_failure(self.path / "events.jsonl") else "unfinished"

    @cached_property
    def events(self) -> list[dict[str, Any]]:
        """The events so far as plain values; a torn last line is left out."""
        return read_lines(self.path / "events.jsonl")


def _ends_with_failure(path: Path) -> bool:
    """Whether the last event is a RunFailed, from the file's last bytes alone."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, path.stat().st_size - 4096))
            return b'"type":"RunFailed"' in file.read().rstrip(b"\n").rpartition(b"\n")[2]
    except OSError:
        return False


class RunWriter:
    """Writes one run's directory; one left by an unfinished run is started anew, or goes on after `kept` bytes.

    The directory belongs to the writer that started it last: one that was given up for lost, and was not, can
    no longer finish it.
    """

    def __init__(self, path: Path, config: RunConfig, kept: int | None = None) -> None:
        self.path = path
        self.config = config
        self._owner = uuid.uuid4().hex
        now = environment(config.training.device)
        stored = {"run": config.model_dump(), "environment": now, "owner": self._owner}
        if kept is None:
            self._begin(stored)
        else:
            _write_json(path / "config.json", stored)
            os.truncate(path / "events.jsonl", kept)
        self._events = open(path / "events.jsonl", "ab", buffering=0)  # noqa: SIM115  # closed by `close`

    def _begin(self, stored: dict[str, Any]) -> None:
        prefix = f".start-{self.path.name}-"
        for left in self.path.parent.glob(f"{prefix}*"):  # by a process that was killed here
            shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=self.path.parent, prefix=prefix) as folder:
            begun = Path(folder) / self.path.name  # a reader never sees a run without its configuration
            begun.mkdir()
            _write_json(begun / "config.json", stored)
            if self.path.exists():
                shutil.rmtree(self.path)
            begun.replace(self.path)

    @property
    def adapter_folder(self) -> Path:
        """Where the trained weights go."""
        return self.path / "adapter"

    def write(self, event: Event) -> None:
        """Append one event, visible to readers at once."""
        self._events.write(orjson.dumps(to_dict(event), option=orjson.OPT_APPEND_NEWLINE))

    def finish(self, summary: dict[str, Any]) -> None:
        """Write the summary, atomically: from here on the run counts as done.

        Raises:
            StoreError: Another writer has started the run anew.
        """
        if _read_json(self.path / "config.json").get("owner") != self._owner:
            raise StoreError(f"run {self.path.name} was started anew elsewhere; this copy of it is dropped")
        _write_json(self.path / "summary.json", summary)
        self.close()

    def interrupt(self, step: int) -> None:
        """Say in a run that has not ended that it was stopped."""
        if not self._events.closed:
            self.write(RunFailed("interrupted", step))

    def close(self) -> None:
        """Release the events file."""
        self._events.close()


class Store:
    """A folder of runs.

    Args:
        root: The folder; made when the first run is written.
    """

    def __init__(self, root: PathLike) -> None:
        self.root = Path(root)

    def check_writable(self) -> None:
        """Make the folder and a file in it.

        Raises:
            StoreError: Neither can be done; says why.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root):
                pass
        except OSError as error:
            reason = error.strerror or error
            raise StoreError(f"runs folder {self.root} cannot be written: {reason}; choose another") from error

    def mark(self) -> str:
        """A name that only this folder has, by which another process knows whether it sees the same one.

        Raises:
            StoreError: The folder cannot be written.
        """
        self.check_writable()
        if not self._mark_file.exists():
            self._mark_file.write_text(uuid.uuid4().hex)
        return self._mark_file.read_text()

    def has_mark(self, mark: str) -> bool:
        """Whether this is the folder that gave `mark`."""
        return self._mark_file.exists() and self._mark_file.read_text() == mark

    @property
    def _mark_file(self) -> Path:
        return self.root / ".neatlab-store"

    def start(self, config: RunConfig, kept: int | None = None) -> RunWriter:
        """A writer for the run that `config` names; with `kept` it goes on after that many bytes of its events.

        Raises:
            StoreError: Its directory cannot be written.
        """
        self.check_writable()
        try:
            return RunWriter(self.root / config.run_id, config, kept)
        except OSError as error:
            raise StoreError(f"run {config.run_id} cannot be written: {error.strerror or error}") from error

    def finished(self, config: RunConfig, pruned: bool = False) -> Run | None:
        """The run of this configuration if it ended by itself, readable and whole; a pruned one only if asked for."""
        path = self.root / config.run_id
        try:
            run = read_run(path) if (path / "summary.json").exists() else None
        except StoreError as error:
            warnings.warn(f"run {path.name} is damaged and will be trained again: {error}", stacklevel=2)
            return None
        return run if run is not None and (pruned or run.status != "pruned") else None

    def adopt(self, run_id: str, files: Mapping[str, bytes]) -> None:
        """Keep a run that was trained elsewhere, whole or not at all.

        Args:
            run_id: Its id.
            files: Path in its directory → content.

        Raises:
            StoreError: A path that leads out of the directory, or a folder that cannot be written.
        """
        self.check_writable()
        try:
            self._adopt(run_id, files)
        except OSError as error:
            raise StoreError(f"run {run_id} cannot be written: {error.strerror or error}") from error

    def _adopt(self, run_id: str, files: Mapping[str, bytes]) -> None:
        path = self.root / run_id
        with tempfile.TemporaryDirectory(dir=self.root, prefix=".adopt-") as folder:
            whole = Path(folder) / run_id
            for name, content in files.items():
                target = whole / name
                if not target.resolve().is_relative_to(whole.resolve()):
                    raise StoreError(f"run {run_id} holds a file outside its directory: {name!r}")
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
            if path.exists():
                shutil.rmtree(path)
            whole.replace(path)

    def get(self, run_id: str) -> Run:
        """One run by its id.

        Raises:
            BadInput: Not an id, or no such run.
            StoreError: The run is damaged.
        """
        return read_run(self._folder(run_id))

    def delete(self, run_id: str) -> None:
        """Remove one run for good, damaged or not: it is gone at once, never seen by half.

        Raises:
            BadInput: Not an id, no such run, or a link, which is left alone with what it leads to.
            StoreError: It cannot be removed.
        """
        path = self._folder(run_id)
        if path.is_symlink():
            raise BadInput(f"{path} is a link to another folder and not a run; remove it by hand")
        try:
            with tempfile.TemporaryDirectory(dir=self.root, prefix=".delete-") as folder:
                path.replace(Path(folder) / run_id)
        except OSError as error:
            raise StoreError(f"run {run_id} cannot be removed: {error.strerror or error}") from error

    def _folder(self, run_id: str) -> Path:
        """The directory of a run that is there, or BadInput."""
        if not RUN_ID.fullmatch(run_id):
            raise BadInput(f"run id {run_id!r}; an id is 12 hexadecimal digits, as `runs list` shows them")
        if not (self.root / run_id).is_dir():
            raise BadInput(f"no run {run_id} in {self.root}; `runs list` shows those there are")
        return self.root / run_id

    def runs(self) -> list[Run]:
        """Every readable run, oldest first; a damaged one is named in a warning and left out."""
        found, damaged = self.survey()
        for run_id, error in damaged.items():
            warnings.warn(f"run {run_id} is left out: {error}", stacklevel=2)
        return found

    def survey(self) -> tuple[list[Run], dict[str, StoreError]]:
        """Every readable run, oldest first, and the id of each damaged one with what is wrong with it."""
        found, damaged = [], {}
        for path in sorted(self.root.iterdir()) if self.root.exists() else []:
            if RUN_ID.fullmatch(path.name):
                try:
                    found.append(read_run(path))
                except StoreError as error:
                    damaged[path.name] = error
        return sorted(found, key=lambda run: str(run.environment.get("created"))), damaged


def read_run(path: Path) -> Run:
    """The run in `path`.

    Raises:
        StoreError: Its configuration or summary is missing or damaged.
    """
    stored = _read_json(path / "config.json")
    summary = _read_json(path / "summary.json") if (path / "summary.json").exists() else {}
    try:
        config, started = RunConfig.parse(stored["run"], "run"), dict(stored["environment"])
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(f"{path / 'config.json'} is not a run's configuration: {error}") from error
    if config.run_id != path.name:
        raise StoreError(f"{path / 'config.json'} belongs to run {config.run_id}")
    if summary:
        _check_summary(path / "summary.json", summary)
    elif (path / "summary.json").exists():
        raise StoreError(f"{path / 'summary.json'} is empty")
    return Run(path, config, started, summary)


def _check_summary(path: Path, summary: dict[str, Any]) -> None:
    if summary.get("status") not in ENDED:
        raise StoreError(f"{path}: status {summary.get('status')!r}; allowed: {', '.join(ENDED)}")
    numbers = {name: value for name, value in summary.items() if name not in ("status", "error")}
    odd = [name for name, value in numbers.items() if not isinstance(value, int | float | None)]
    odd += [name for name in COUNTS if not isinstance(summary.get(name), int)]
    if summary["status"] == "finished":
        odd += [name for name in ("seconds", "seconds_per_step") if not isinstance(summary.get(name), int | float)]
    if odd:
        raise StoreError(f"{path}: {', '.join(dict.fromkeys(odd))} should be a number")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise StoreError(f"{path} cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise StoreError(f"{path} does not hold an object")
    return value


def _write_json(path: Path, value: dict[str, Any]) -> None:
    """Write beside, then rename: a reader sees the old file, the new one, or none, never half of one."""
    temporary = path.with_suffix(".part")
    with open(temporary, "wb") as file:
        file.write(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
