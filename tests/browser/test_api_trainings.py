"""Many short trainings asked for by the API."""

import os
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.browser.conftest import App, wait_until

pytestmark = pytest.mark.process
AT_ONCE = 25  # are asked for before the first of them is looked at
# Two hundred with NEATLAB_TEST_ROUNDS=8.
BY_API = AT_ONCE * int(os.environ.get("NEATLAB_TEST_ROUNDS", "1"))


def test_every_training_by_the_api_ends_with_its_result(app: App) -> None:
    ended: list[dict[str, Any]] = []
    with httpx.Client(base_url=f"{app.url}gradio_api/run/", timeout=90) as http:
        for first in range(10_000, 10_000 + BY_API, AT_ONCE):
            ended += trained(http, app, range(first, first + AT_ONCE))
    assert [job["refusal"] for job in ended] == [None] * BY_API
    runs = [run for job in ended for run in job["runs"]]
    assert [(run["status"], run["done"]) for run in runs] == [("finished", 1)] * BY_API
    assert all(run["summary"]["metric"] > 0 for run in runs)


def trained(http: httpx.Client, app: App, seeds: range) -> list[dict[str, Any]]:
    """What the API says of trainings of one step once they have ended."""

    def ask(name: str, *values: Any) -> dict[str, Any]:
        return dict(http.post(name, json={"data": values}).raise_for_status().json()["data"][0])

    order = ["teacher:kind=low-rank", ["lora:rank=1"], 1]
    wanted = len(summaries(app)) + len(seeds)
    jobs = [ask("start", *order, seed, None, None, None)["job"] for seed in seeds]
    wait_until(lambda: len(summaries(app)) == wanted)  # the folder is asked: each question to the server costs it time
    for job in reversed(jobs):
        wait_until(lambda job=job: ask("status", job)["phase"] == "ended")
    return [ask("status", job) for job in jobs]


def summaries(app: App) -> list[Path]:
    """Of the runs that have ended."""
    return list(app.runs.glob("*/summary.json"))
