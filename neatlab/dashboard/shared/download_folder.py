"""A window's downloads: a folder that goes when the window does."""

import shutil
import tempfile
import weakref
from collections import deque
from pathlib import Path

from gradio.utils import get_upload_folder

MAX_FILES = 4  # a window; the oldest goes


class DownloadFolder:
    """A window's downloads, inside the folder that Gradio serves files from, so that it makes no copy of them."""

    def __init__(self) -> None:
        self._made: list[str] = []
        self.close = weakref.finalize(self, _remove, self._made)
        self._folders: deque[Path] = deque()

    @property
    def folder(self) -> Path:
        """Where they lie; made on first use, for most windows have none."""
        if not self._made:
            served = Path(get_upload_folder())
            served.mkdir(parents=True, exist_ok=True)
            self._made.append(tempfile.mkdtemp(dir=served, prefix="neatlab-"))
        return Path(self._made[0])

    def new_path(self, name: str) -> Path:
        """A free path of this name; what was made long before is removed."""
        while len(self._folders) >= MAX_FILES:
            shutil.rmtree(self._folders.popleft(), ignore_errors=True)
        self._folders.append(Path(tempfile.mkdtemp(dir=self.folder)))
        return self._folders[-1] / name


def _remove(folders: list[str]) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
