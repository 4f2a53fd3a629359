"""Runs on disk: a directory each, its name the hash of its configuration, its summary written last.

config.json           the configuration, package versions, device
events.jsonl          one event a line, flushed as it happens
weights.json, .bin    thin factors of ΔW every few steps, in half precision; at most 16 MB
adapter/              what was trained, as safetensors
outcomes.safetensors  true and predicted value of each test example, where the task has them
summary.json          the result; its presence means that the run ended by itself
notes.json            tags and a note, written by people; no part of what the run is

Beside them `.neatlab-newest` says when the newest of them was started.
"""

import shutil
import tempfile
import uuid
import warnings
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

from neatlab.config import RunConfig
from neatlab.errors import BadInput, StoreError
from neatlab.runs.index import RUN_ID, Index
from neatlab.runs.notes import Notes, annotate, carry_notes
from neatlab.runs.run import Run, read_run
from neatlab.runs.started import note_start
from neatlab.runs.writer import RunWriter
from neatlab.runtime.files import PathLike


class Store:
    """A folder of runs.

    Args:
        root: The folder; made when the first run is written.
    """

    def __init__(self, root: PathLike) -> None:
        self.root = Path(root)
        self._index = Index(self.root)

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

    def start(self, config: RunConfig, resume_at: int | None = None) -> RunWriter:
        """A writer for the run that `config` names; with `resume_at` it resumes after that many bytes of its events.

        Raises:
            StoreError: Its directory cannot be written.
        """
        self.check_writable()
        try:
            return RunWriter(self.root / config.run_id, config, resume_at)
        except OSError as error:
            raise StoreError(f"run {config.run_id} cannot be written: {error.strerror or error}") from error

    def finished(self, config: RunConfig, pruned: bool = False) -> Run | None:
        """The run of this configuration if it ended by itself, readable and whole; a pruned one only if asked for."""
        path = self.root / config.run_id
        try:
            run = _same_run(path) if (path / "summary.json").exists() else None
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
            _adopt(self.root, run_id, files)
        except OSError as error:
            raise StoreError(f"run {run_id} cannot be written: {error.strerror or error}") from error

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

    def annotate(
        self, run_id: str, add: Collection[str] = (), remove: Collection[str] = (), note: str | None = None
    ) -> Notes:
        """Change the tags and the note of one run; returns what it has now.

        Args:
            run_id: The run.
            add: Tags to add.
            remove: Tags to take away; those that it does not have are no mistake.
            note: The new note; None leaves the one that is there.

        Raises:
            BadInput: Not an id, no such run, or a tag or note that is not allowed.
            StoreError: They cannot be read or written.
        """
        return annotate(self._folder(run_id), add, remove, note)

    def _folder(self, run_id: str) -> Path:
        """The directory of a run that is there, or BadInput."""
        if not RUN_ID.fullmatch(run_id):
            raise BadInput(f"run id {run_id!r}; an id is 12 hexadecimal digits or x and 11: `runs list` shows them")
        if not (self.root / run_id).is_dir():
            raise BadInput(f"no run {run_id} in {self.root}; `runs list` shows those there are")
        return self.root / run_id

    def runs(self) -> list[Run]:
        """Every readable run, oldest first; a damaged one is named in a warning and left out."""
        readable, damaged = self.survey()
        for run_id, error in damaged.items():
            warnings.warn(f"run {run_id} is left out: {error}", stacklevel=2)
        return readable

    def survey(self, check: Collection[str] | None = None) -> tuple[list[Run], dict[str, StoreError]]:
        """Every readable run, oldest first, and the id of each damaged one with what is wrong with it.

        Args:
            check: Ids; of the others that had ended, only that they are still there is looked up. None: all.
        """
        entries = self._index.entries(check)
        readable = [run for run in entries.values() if isinstance(run, Run)]
        damaged = {name: error for name, error in entries.items() if isinstance(error, StoreError)}
        return sorted(readable, key=lambda run: str(run.environment.get("created"))), damaged


def _adopt(root: Path, run_id: str, files: Mapping[str, bytes]) -> None:
    path = root / run_id
    with tempfile.TemporaryDirectory(dir=root, prefix=".adopt-") as folder:
        whole = Path(folder) / run_id
        for name, content in files.items():
            target = whole / name
            if not target.resolve().is_relative_to(whole.resolve()):
                raise StoreError(f"run {run_id} holds a file outside its directory: {name!r}")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        if path.exists():
            carry_notes(path, whole)
            shutil.rmtree(path)
        whole.replace(path)
    with suppress(StoreError):  # it is named as damaged where it is read
        note_start(root, str(read_run(path).environment.get("created")))


def _same_run(path: Path) -> Run:
    """The run in `path`, whose configuration today still has the name that it was given.

    Raises:
        StoreError: It is damaged, or a default that was not part of its name has changed since.
    """
    run = read_run(path)
    if run.config.run_id != path.name:
        raise StoreError("it was trained with other defaults than today's")
    return run
