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
        served = Path(get_upload_folder())
        served.mkdir(parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(dir=served, prefix="neatlab-"))
        self.close = weakref.finalize(self, shutil.rmtree, str(self.folder), ignore_errors=True)
        self._folders: deque[Path] = deque()

    def new_path(self, name: str) -> Path:
        """A free path of this name; what was made long before is removed."""
        while len(self._folders) >= MAX_FILES:
            shutil.rmtree(self._folders.popleft(), ignore_errors=True)
        self._folders.append(Path(tempfile.mkdtemp(dir=self.folder)))
        return self._folders[-1] / name
