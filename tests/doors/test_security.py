"""What SECURITY.md promises in figures is what the server does, and what it promises of its end."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from neatlab.dashboard.doors.bodies import MAX_BYTES
from neatlab.dashboard.doors.uploads import EACH_BYTES, TOTAL_BYTES
from neatlab.dashboard.inspect.tab import FOLDER_SECONDS
from neatlab.dashboard.server import MAX_UPLOAD
from neatlab.dashboard.shared.jobs import BRIEF_AT_ONCE, BRIEF_SECONDS, OTHERS_SHARE
from neatlab.dashboard.shared.memory import SHARE
from neatlab.dashboard.shared.server_folder import PREFIX
from neatlab.dashboard.shared.visitors import MAX_WINDOWS
from tests.browser.conftest import ROOT, App, serve
from tests.doors.conftest import watched

WORDS = {2: "two", 3: "three", 4: "quarter", 30: "thirty"}
PROMISED = [
    f"{WORDS[BRIEF_AT_ONCE]} computations of some seconds at once",
    f"{WORDS[BRIEF_SECONDS / 60]} minutes for each, {WORDS[FOLDER_SECONDS / 60]} for a folder",
    f"uploads of {MAX_UPLOAD.replace('mb', ' MB')}, {EACH_BYTES // 2**20} MiB a visitor and {TOTAL_BYTES // 2**30} GiB",
    f"requests of {MAX_BYTES // 2**20} MiB",
    f"{MAX_WINDOWS} windows a visitor",
    f"a {WORDS[int(1 / SHARE)]} of the machine's memory",
    f"a {WORDS[OTHERS_SHARE]} of the places in the queue of trainings for others",
]


@pytest.mark.parametrize("promise", PROMISED)
def test_limits_are_those_that_are_promised(promise: str) -> None:
    assert promise in " ".join((ROOT / "SECURITY.md").read_text(encoding="utf-8").split())


@pytest.mark.process
def test_what_visitors_bring_goes_with_the_server_and_what_a_killed_one_left_with_the_next(tmp_path: Path) -> None:
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    left = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{int(gone.stdout)}-"))
    running = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
    with serve(tmp_path) as app:
        assert len(folders(app)) == 1
        assert (left.exists(), running.exists()) == (False, True)
    assert not folders(app)
    running.rmdir()


def folders(app: App) -> list[Path]:
    return list(Path(tempfile.gettempdir()).glob(f"{PREFIX}{app.pid}-*"))


@pytest.mark.process
def test_it_would_be_noticed_if_the_server_asked_another_machine(tmp_path: Path) -> None:
    asking = "import socket; socket.create_connection(('127.0.0.1', 1)).close()"
    elsewhere = "import socket; socket.getaddrinfo('192.0.2.1', 80)"
    for code in (asking, elsewhere):
        environment = {**os.environ, **watched(tmp_path)}
        subprocess.run([sys.executable, "-c", code], env=environment, stderr=subprocess.DEVNULL, check=False)
    assert (tmp_path / "calls").read_text() == "socket.getaddrinfo 192.0.2.1\n"
