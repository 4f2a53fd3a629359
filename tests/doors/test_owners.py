"""Whoever has started a training stops it, and whoever has made a run deletes it."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from neatlab.runs.store import Store
from tests.browser.conftest import App, client, wait_until
from tests.doors.window import Window

pytestmark = pytest.mark.process
SLOW = ["teacher:kind=low-rank", ["lora:rank=1"], 5000]


@pytest.fixture
def other(server: App) -> Iterator[httpx.Client]:
    """Another visitor."""
    with httpx.Client(base_url=server.url, timeout=120) as client:
        client.get("")
        yield client


def ask(http: httpx.Client, name: str, *values: Any) -> httpx.Response:
    return http.post(f"gradio_api/run/{name}", json={"data": values})


def phase(http: httpx.Client, job: int) -> str:
    return str(ask(http, "status", job).json()["data"][0]["phase"])


def test_a_training_by_the_api_is_stopped_with_its_token_alone(http: httpx.Client, other: httpx.Client) -> None:
    job = ask(http, "start", *SLOW, 71, None, None, None).json()["data"][0]
    assert "token" not in ask(other, "status", job["job"]).json()["data"][0]
    for token in ("", "0" * 32, None, [job["token"]]):
        refused = ask(other, "stop", job["job"], token)
        assert "is not yours to stop" in refused.json()["error"]
    assert phase(other, job["job"]) != "ended"
    assert ask(other, "stop", job["job"], job["token"]).status_code == 200
    wait_until(lambda: phase(http, job["job"]) == "ended")


def test_a_client_stops_what_it_has_started_without_a_token(server: App) -> None:
    lab = client(server.url)
    job = lab.predict(*SLOW, 72, api_name="/start")
    lab.predict(job["job"], api_name="/stop")
    wait_until(lambda: lab.predict(job["job"], api_name="/status")["phase"] == "ended")


def test_a_windows_training_is_not_stopped_by_the_api(http: httpx.Client, other: httpx.Client, server: App) -> None:
    window = Window(http)
    assert window.hears("Preparing", "train", task=SLOW[0], seed=73, steps=5000)
    (job,) = ask(other, "list").json()["data"][0]["jobs"]
    assert "is not yours to stop" in ask(other, "stop", job["job"], "").json()["error"]
    assert "is not yours to stop" in ask(http, "stop", job["job"], "").json()["error"]
    assert phase(other, job["job"]) != "ended"
    assert window.hears("process_completed", "stop")
    wait_until(lambda: not ask(http, "list").json()["data"][0]["jobs"])


def test_a_run_is_deleted_by_whoever_has_made_it(http: httpx.Client, other: httpx.Client, server: App) -> None:
    own, foreign = Window(http), Window(other)
    job = ask(http, "start", SLOW[0], ["lora:rank=1"], 1, 74, None, None, None).json()["data"][0]
    wait_until(lambda: phase(http, job["job"]) == "ended")
    run_id = ask(http, "status", job["job"]).json()["data"][0]["runs"][0]["run"]
    for window, said, is_there in ((foreign, "was not made in this browser", True), (own, "1 run deleted", False)):
        assert window.hears(said, "runs-delete", runs_chosen=[run_id]) == is_there
        assert window.hears(said, "runs-yes", runs_chosen=[run_id]) != is_there
        assert (server.runs / run_id).exists() == is_there


def test_an_older_run_is_nobodys_but_where_runs_are_shared(http: httpx.Client, server: App, shared: App) -> None:
    old = Store(server.runs).runs()[0].run_id
    assert Window(http).hears("was not made in this browser", "runs-delete", runs_chosen=[old])
    with httpx.Client(base_url=shared.url, timeout=120) as client:
        window = Window(client)
        gone = Store(shared.runs).runs()[0].path
        window.hears("", "runs-delete", runs_chosen=[gone.name])
        assert window.hears("1 run deleted", "runs-yes", runs_chosen=[gone.name])
    assert not gone.exists()


def test_where_runs_are_shared_any_visitor_stops_any_training(shared: App) -> None:
    with (
        httpx.Client(base_url=shared.url, timeout=120) as http,
        httpx.Client(base_url=shared.url, timeout=120) as another,
    ):
        job = ask(http, "start", *SLOW, 75, None, None, None).json()["data"][0]["job"]
        assert ask(another, "stop", job, "").status_code == 200
        wait_until(lambda: phase(http, job) == "ended")
