"""A runs folder that someone else on the machine plays with: the server answers, and says what it sees."""

import os
from pathlib import Path

import httpx
import pytest

from tests.browser.conftest import App, wait_until
from tests.doors.test_owners import ask, phase

pytestmark = pytest.mark.process


def test_a_pipe_in_the_place_of_a_configuration_keeps_nobody_waiting(http: httpx.Client, server: App) -> None:
    folder = server.runs / "0123456789ab"
    folder.mkdir()
    os.mkfifo(folder / "config.json")
    listed = ask(http, "list").json()["data"][0]["runs"]
    assert listed
    assert folder.name not in [run["run"] for run in listed]


def test_a_folder_that_is_moved_away_ends_the_training_and_is_said(
    http: httpx.Client, server: App, tmp_path: Path
) -> None:
    order = ("teacher:kind=low-rank", ["lora:rank=1"], 5000, 81, None, None, None)
    job = ask(http, "start", *order).json()["data"][0]["job"]
    wait_until(lambda: (runs := ask(http, "status", job).json()["data"][0]["runs"]) and runs[0]["done"] > 1)
    moved = server.runs.rename(server.runs.parent / "moved")
    wait_until(lambda: phase(http, job) == "ended")
    refusal = ask(http, "status", job).json()["data"][0]["refusal"]
    assert "is gone, moved or removed while it was written" in refusal["message"]
    assert not server.runs.exists()
    moved.rename(server.runs)
