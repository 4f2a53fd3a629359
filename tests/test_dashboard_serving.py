"""Who is served: this machine alone, unless there is a password or the word --insecure. As a user starts it."""

import os
import subprocess
import sys
from pathlib import Path

import httpx

from tests.browser.conftest import ROOT, free_port, serve


def refused(*options: str, **environment: str) -> str:
    """The one line that `python app.py` ends with."""
    plain = {name: value for name, value in os.environ.items() if name != "NEATLAB_AUTH"}
    command = [sys.executable, "app.py", "--port", str(free_port()), *options]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=120, env={**plain, **environment}, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.strip().splitlines()) == 1
    return done.stderr


def test_other_machines_are_not_served_without_a_password(tmp_path: Path) -> None:
    said = refused("--host", "0.0.0.0", "--runs", str(tmp_path / "runs"))
    assert "NEATLAB_AUTH" in said
    assert "--insecure" in said


def test_a_password_that_is_none_is_refused(tmp_path: Path) -> None:
    said = refused("--host", "0.0.0.0", "--runs", str(tmp_path / "runs"), NEATLAB_AUTH="secret")
    assert "NEATLAB_AUTH is not of the form user:password" in said
    assert "secret" not in said


def test_insecure_serves_other_machines(tmp_path: Path) -> None:
    with serve(tmp_path, "--host", "0.0.0.0", "--insecure") as app:
        assert httpx.get(app.url).status_code == 200
