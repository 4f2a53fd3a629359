"""Serving others: the API, the queue, hostile values, a password."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from gradio_client import Client  # type: ignore[import-untyped]
from gradio_client.exceptions import AppError  # type: ignore[import-untyped]
from playwright.sync_api import Page

from tests.browser.conftest import App, client, open_page, says, serve, shows, wait_until

pytestmark = pytest.mark.browser
ARMS = ["lora:rank=4", "neat:rank=4,depth=2"]


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """An app that other machines can reach, with a password; `--trainings 1`."""
    options = ("--host", "0.0.0.0", "--trainings", "1")
    with serve(tmp_path_factory.mktemp("locked"), *options, NEATLAB_AUTH="teacher:chalk:dust") as served:
        yield served


@pytest.fixture(scope="module")
def lab(app: App) -> Client:
    return app.client()


def test_the_api_starts_tells_lists_and_stops(lab: Client, app: App) -> None:
    job = lab.predict("digits", ARMS, 3, 40, api_name="/start")
    assert job["phase"] in ("waiting", "preparing")
    wait_until(lambda: lab.predict(job["job"], api_name="/status")["phase"] == "ended")
    told = lab.predict(job["job"], api_name="/status")
    assert told["refusal"] is None
    stored = app.stored(40)
    assert [run["arm"] for run in told["runs"]] == ARMS
    for run in told["runs"]:
        assert (run["done"], run["steps"], run["status"]) == (3, 3, "finished")
        assert run["summary"]["metric"] == stored[run["arm"]].summary["metric"]
    listed = {run["run"]: run for run in lab.predict(api_name="/list")["runs"]}
    assert {run.run_id for run in stored.values()} <= set(listed)
    long = lab.predict("digits", ARMS, 5000, 41, api_name="/start")
    app.wait_for_steps(41, 2)
    assert [one["job"] for one in lab.predict(api_name="/list")["jobs"]] == [long["job"]]
    lab.predict(long["job"], api_name="/stop")
    wait_until(lambda: not lab.predict(api_name="/list")["jobs"])
    assert {run.status for run in app.stored(41).values()} == {"interrupted"}


HOSTILE: list[tuple[dict[str, Any], str]] = [
    ({"task": "custom:model=/etc"}, "unknown task"),
    ({"task": "../../etc/passwd"}, "unknown task"),
    ({"task": ["digits"]}, "unknown task"),
    ({"task": None}, "unknown task"),
    ({"task": "x" * 1_000_000}, "unknown task"),
    ({"arms": "lora:rank=4"}, "a list of 1 to 4"),
    ({"arms": []}, "a list of 1 to 4"),
    ({"arms": ["lora:rank=4"] * 100_000}, "a list of 1 to 4"),
    ({"arms": [1, None]}, "a list of 1 to 4"),
    ({"arms": {"a": "lora"}}, "a list of 1 to 4"),
    ({"arms": ["neat:rank=9999999999"]}, "rank"),
    ({"arms": ["neat:rank=4,depth=1e9"]}, "depth"),
    ({"arms": ["neat:rank=4,targets=/etc/passwd"]}, "unknown option"),
    ({"arms": ["neat:rank=4,activation=../../etc/passwd"]}, "activation"),
    ({"arms": ["neat" * 500_000]}, "unknown arm"),
    ({"arms": ["<script>alert(1)</script>"]}, "unknown arm"),
    ({"steps": 10**9}, "steps"),
    ({"steps": -1}, "steps"),
    ({"steps": "many"}, "steps"),
    ({"steps": 1e308}, "steps"),
    ({"steps": [1]}, "steps"),
    ({"seed": -1}, "seed"),
    ({"seed": 2**32}, "seed"),
    ({"seed": None}, "seed"),
    ({"lr": "nan"}, "lr"),
    ({"lr": 1e9}, "lr"),
    ({"batch_size": 10**6}, "batch_size"),
    ({"match": "everything"}, "match"),
]


def test_hostile_orders_are_refused_and_nothing_runs(lab: Client, app: App) -> None:
    before = set(app.runs.glob("*"))
    good = {"task": "digits", "arms": ARMS, "steps": 3, "seed": 42}
    for bad, said in HOSTILE:
        with pytest.raises(AppError) as refused:
            lab.predict(**{**good, **bad}, api_name="/start")
        assert said in str(refused.value), bad
        assert len(str(refused.value)) <= 600
    assert lab.predict(api_name="/list")["jobs"] == []
    assert set(app.runs.glob("*")) == before


@pytest.mark.parametrize("job", ["../../etc/passwd", "1", -1, 0, 10**30, 1.5, [1], {"job": 1}, None, "x" * 100_000])
def test_a_training_that_is_none_is_refused(lab: Client, job: Any) -> None:
    for name in ("/status", "/stop"):
        with pytest.raises(AppError, match="no training"):
            lab.predict(job, api_name=name)


def test_without_the_password_nothing_is_served(locked: App) -> None:
    http = httpx.Client(base_url=locked.url, timeout=90)
    page = http.get("")
    assert '"auth_required":true' in page.text.replace(" ", "")
    assert "neatlab.dashboard" not in page.text and "learning rate" not in page.text
    for path in ("config", "gradio_api/info", "gradio_api/openapi.json"):
        assert http.get(path).status_code == 401, path
    for name in ("start", "list", "predict"):
        assert http.post(f"gradio_api/run/{name}", json={"data": []}).status_code == 401, name
    wrong = http.post("login", data={"username": "teacher", "password": "chalk"})
    assert wrong.status_code == 400


def test_after_the_password_the_page_and_its_queue(page: Page, locked: App) -> None:
    page.goto(locked.url)
    page.get_by_label("username").fill("teacher")
    page.get_by_label("password").fill("chalk:dust")
    page.get_by_role("button", name="Login").click()
    shows(page.locator("#status"), "press Train")
    lab = client(locked.url, auth=("teacher", "chalk:dust"))
    first = lab.predict("digits", ARMS, 5000, 43, api_name="/start")
    locked.wait_for_steps(43, 1)
    open_page(page, locked, "?task=digits&steps=5000&seed=44")
    page.click("#train")
    says(page, "Waiting: place 1 in the queue; 1 trains now.")
    last = lab.predict("digits", ARMS, 5000, 45, api_name="/start")
    assert (last["phase"], last["place"]) == ("waiting", 2)
    page.reload()
    says(page, "Waiting: place 1 in the queue; 1 trains now.")
    lab.predict(first["job"], api_name="/stop")
    says(page, "Training.")
    assert lab.predict(last["job"], api_name="/status")["place"] == 1
    assert not locked.stored(45)
    lab.predict(last["job"], api_name="/stop")
    assert lab.predict(last["job"], api_name="/status")["phase"] == "ended"
    page.click("#stop")
    says(page, "Stopped.")
    assert not locked.stored(45)
