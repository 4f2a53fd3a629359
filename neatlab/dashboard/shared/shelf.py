"""A window's downloads: a folder of its own, which goes when the window does."""

import shutil
import tempfile
import weakref
from collections import deque
from pathlib import Path

from gradio.utils import get_upload_folder

KEPT = 4  # files a window; the oldest goes


class Shelf:
    """A window's downloads, inside the folder that Gradio serves files from, so that it makes no copy of its own."""

    def __init__(self) -> None:
        served = Path(get_upload_folder())
        served.mkdir(parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(dir=served, prefix="neatlab-"))
        self.close = weakref.finalize(self, shutil.rmtree, str(self.folder), ignore_errors=True)
        self._kept: deque[Path] = deque()

    def place(self, name: str) -> Path:
        """A free path of this name; what was made long before is removed."""
        while len(self._kept) >= KEPT:
            shutil.rmtree(self._kept.popleft(), ignore_errors=True)
        self._kept.append(Path(tempfile.mkdtemp(dir=self.folder)))
        return self._kept[-1] / name
