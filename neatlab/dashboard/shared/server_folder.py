"""Where this server keeps what its visitors bring and take away: a folder of its own that goes when it ends."""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = "neatlab-server-"
OWNER = re.compile(rf"{PREFIX}(\d+)-\w+")
SERVED = "GRADIO_TEMP_DIR"  # what Gradio serves files from
FILES, DATA = "files", "data"


@contextmanager
def server_folder() -> Iterator[Path]:
    """The folder, which no other user of this machine can open; one that a killed server has left is removed."""
    above = Path(tempfile.gettempdir())
    for left in above.glob(f"{PREFIX}*"):
        match = OWNER.fullmatch(left.name)
        if match and left.stat().st_uid == os.getuid() and not _is_running(int(match[1])):
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f"{PREFIX}{os.getpid()}-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        for inner in (FILES, DATA):
            (folder / inner).mkdir(mode=0o700)
        os.environ[SERVED] = str(folder / FILES)
        yield folder


def data_folder() -> Path | None:
    """Where uploads lie that are a window's data, which nobody is served; None without a server."""
    served = os.environ.get(SERVED)
    folder = Path(served).parent / DATA if served else None
    return folder if folder and folder.is_dir() else None


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
