"""Who is served: this machine alone, unless there is a password or the word --insecure. As a user starts it."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from starlette.exceptions import HTTPException

from neatlab.cli import main
from neatlab.dashboard.doors.failures import is_worth_logging
from neatlab.dashboard.server import check_system
from neatlab.errors import BadInput
from tests.browser.conftest import ROOT, free_port


@pytest.mark.process
def test_other_machines_are_not_served_without_a_password(tmp_path: Path) -> None:
    plain = {name: value for name, value in os.environ.items() if name != "NEATLAB_AUTH"}
    command = [sys.executable, "app.py", "--port", str(free_port()), "--host", "0.0.0.0"]
    command += ["--runs", str(tmp_path / "runs")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=plain, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.strip().splitlines()) == 1
    assert "NEATLAB_AUTH" in done.stderr
    assert "--insecure" in done.stderr


def test_a_password_that_is_none_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NEATLAB_AUTH", "secret")
    words = ["app", "--port", str(free_port()), "--host", "0.0.0.0", "--runs", str(tmp_path / "runs")]
    assert main(words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.strip().splitlines()) == 1
    assert "NEATLAB_AUTH is not of the form user:password" in captured.err
    assert "secret" not in captured.err


def test_insecure_is_handed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    launched: list[dict[str, Any]] = []
    monkeypatch.setattr("neatlab.dashboard.server.launch", lambda *_, **options: launched.append(options))
    assert main(["app", "--host", "0.0.0.0", "--insecure", "--runs", str(tmp_path / "runs")]) == 0
    assert [options["insecure"] for options in launched] == [True]


def test_a_system_without_forkserver_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("multiprocessing.get_all_start_methods", lambda: ["spawn"])
    with pytest.raises(BadInput, match="Linux and macOS"):
        check_system()


@pytest.mark.parametrize(
    ("cause", "is_logged"), [(HTTPException(404), False), (HTTPException(500), True), (KeyError("x"), True)]
)
def test_a_stream_that_is_refused_is_not_logged_and_everything_else_is(cause: Exception, is_logged: bool) -> None:
    error = RuntimeError("Caught handled exception, but response already started.")
    error.__cause__ = cause
    assert is_worth_logging(error) == is_logged
