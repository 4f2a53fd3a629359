"""The data that a window has brought."""

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

MAX_UPLOADS = 4  # a window; the oldest goes
QUOTA = Quota(each=400 * 2**20, total=2 * 2**30)  # bytes, of all windows of a visitor and of everybody's


class _Upload(NamedTuple):
    name: str
    task: TaskSpec
    folder: Path


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

    def add(self, name: str, task: TaskSpec, folder: Path) -> str:
        """Add a task; returns the key that stands for it in this window's form."""
        while len(self._uploads) >= MAX_UPLOADS:
            oldest = self._uploads.pop(next(iter(self._uploads)))
            shutil.rmtree(oldest.folder, ignore_errors=True)
        key = f"{UPLOADED}{secrets.token_hex(8)}"
        self._uploads[key] = _Upload(name, task, folder)
        return key

    @property
    def tasks(self) -> dict[str, TaskSpec]:
        """Key → task; data that were removed to make room for later ones are no task any more."""
        return {key: upload.task for key, upload in self._uploads.items() if upload.folder.exists()}

    @property
    def choices(self) -> list[tuple[str, str]]:
        """(text, key) for the list of tasks."""
        return [(f"your data: {upload.name}", key) for key, upload in self._uploads.items() if key in self.tasks]

    def close(self) -> None:
        """Remove everything."""
        self._uploads.clear()
        if self._root is not None:
            shutil.rmtree(self._root, ignore_errors=True)
