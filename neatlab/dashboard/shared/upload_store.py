"""The data that a window has brought: tasks that it alone may train, on every tab."""

import secrets
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import NamedTuple

from neatlab.dashboard.shared.choices import UPLOADED
from neatlab.dashboard.shared.quota import Quota
from neatlab.dashboard.shared.server_folder import data_folder
from neatlab.tasks import TaskSpec

MAX_UPLOADS = 4  # a window; what was looked at anew goes first, then the oldest
QUOTA = Quota(each=400 * 2**20, total=2 * 2**30)  # bytes, of all windows of a visitor and of everybody's


class _Upload(NamedTuple):
    name: str
    task: TaskSpec
    folder: Path
    source: str = ""
    is_listed: bool = True


class UploadStore:
    """A window's data: their files lie in folders that go when the window does."""

    def __init__(self) -> None:
        self._uploads: dict[str, _Upload] = {}
        self._root: Path | None = None

    def new_folder(self) -> Path:
        """A new folder; whoever finds no use for it removes it."""
        if self._root is None:
            self._root = Path(tempfile.mkdtemp(prefix="neatlab-data-", dir=data_folder()))
            weakref.finalize(self, shutil.rmtree, str(self._root), ignore_errors=True)
        return Path(tempfile.mkdtemp(dir=self._root))

    def add(self, name: str, task: TaskSpec, folder: Path, source: str = "") -> str:
        """Add a task; returns the key that stands for it in this window's form.

        Args:
            name: The file's name.
            task: The task.
            folder: Where its data lie.
            source: The uploaded file; another task made of it before is listed no more, though it may still train.
        """
        for key, upload in self._uploads.items():
            if source and upload.source == source:
                self._uploads[key] = upload._replace(is_listed=False)
        while len(self._uploads) >= MAX_UPLOADS:
            oldest = self._uploads.pop(min(self._uploads, key=lambda key: self._uploads[key].is_listed))
            shutil.rmtree(oldest.folder, ignore_errors=True)
        key = f"{UPLOADED}{secrets.token_hex(8)}/{name}"
        self._uploads[key] = _Upload(name, task, folder, source)
        return key

    @property
    def tasks(self) -> dict[str, TaskSpec]:
        """Key → task; data that were removed to make room for later ones are no task any more."""
        return {key: upload.task for key, upload in self._uploads.items() if upload.folder.exists()}

    def name(self, key: str) -> str:
        """The file's name; empty where this window has brought no such data."""
        return self._uploads[key].name if key in self._uploads else ""

    @property
    def choices(self) -> list[tuple[str, str]]:
        """(text, key) for the list of tasks."""
        listed = ((key, upload) for key, upload in self._uploads.items() if upload.is_listed and key in self.tasks)
        return [(f"your data: {upload.name}", key) for key, upload in listed]

    def close(self) -> None:
        """Remove everything."""
        self._uploads.clear()
        if self._root is not None:
            shutil.rmtree(self._root, ignore_errors=True)
