"""Behind a password: what answers, how often one may guess, and passwords that are kept as hashes."""

import asyncio
import hashlib
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from neatlab.dashboard.doors.logins import LoginDoor, Throttle
from neatlab.dashboard.doors.passwords import hashed, matches
from neatlab.dashboard.server import read_auth
from neatlab.runs.store import Store
from tests.browser.conftest import App, serve
from tests.dashboard_runs import four_runs
from tests.doors.window import Window

CLOSED = (
    *("openapi.json", "config", "monitoring", "gradio_api/heartbeat/a", "gradio_api/app_id", "gradio_api/info"),
    *("gradio_api/queue/status", "gradio_api/queue/data?session_hash=a", "gradio_api/custom_component/a/b/c/d"),
)


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """An app with a password, of which its file holds the hash alone."""
    folder = tmp_path_factory.mktemp("locked")
    four_runs(folder / "runs")
    (folder / "auth").write_text(f"teacher:{hashed('chalk:dust')}\n")
    with serve(folder, "--auth-file", str(folder / "auth")) as served:
        yield served


def log_in(http: httpx.Client, password: str, user: str = "teacher") -> httpx.Response:
    return http.post("login", data={"username": user, "password": password})


@pytest.mark.process
def test_nothing_answers_but_the_login_and_guessing_is_slowed(locked: App) -> None:
    with httpx.Client(base_url=locked.url, timeout=60) as http:
        assert http.get("").status_code == 200
        for path in CLOSED:
            assert (path, http.get(path).status_code) == (path, 401)
        for path in ("reset", "cancel", "upload", "run/list"):
            assert (path, http.post(f"gradio_api/{path}", json={"event_id": "a"}).status_code) == (path, 401)
        assert log_in(http, "chalk:dust").status_code == 200
        assert http.get("config").status_code == 200
        old = Store(locked.runs).runs()[0].path
        window = Window(http)
        assert not window.hears("was not made in this browser", "runs-delete", runs_chosen=[old.name])
        assert window.hears("1 run deleted", "runs-yes", runs_chosen=[old.name])
        assert not old.exists()
        http.cookies.clear()
        answers = [log_in(http, f"wrong {n}", f"user {n}") for n in range(40)]
        assert [answer.status_code for answer in answers[:5]] == [400] * 5
        assert sum(answer.status_code == 429 for answer in answers) >= 30
        late = next(answer for answer in answers if answer.status_code == 429)
        assert int(late.headers["Retry-After"]) >= 1
        assert "too many wrong logins; wait" in late.json()["error"]


def test_a_wait_doubles_and_ends_with_the_right_password() -> None:
    clock = [0.0]
    throttle = Throttle(free=2, longest=5, clock=lambda: clock[0])
    waits = []
    for _ in range(6):
        throttle.note("a")
        waits.append(throttle.wait("a"))
        clock[0] += waits[-1]
    assert waits == [0, 1, 2, 4, 5, 5]
    assert throttle.wait("b") == 0
    throttle.note("a")
    throttle.clear("a")
    assert throttle.wait("a") == 0


def test_a_name_that_is_guessed_from_many_addresses_waits_too() -> None:
    statuses: list[int] = []

    async def wrong(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 400})

    async def note(message: Message) -> None:
        statuses.extend([message["status"]] if "status" in message else [])

    async def body() -> Message:
        return {"type": "http.request", "body": b"username=teacher&password=chalk"}

    async def guess(address: str) -> None:
        headers = [(b"content-type", b"application/x-www-form-urlencoded")]
        scope = {"type": "http", "method": "POST", "path": "/login", "headers": headers, "client": (address, 1)}
        await door(scope, body, note)

    door = LoginDoor(wrong, SimpleNamespace(auth="set"))  # type: ignore[arg-type]
    for number in range(21):
        asyncio.run(guess(f"10.0.0.{number}"))
    assert statuses == [400] * 20 + [429]


def test_a_hash_is_another_each_time_and_matches_its_password_alone() -> None:
    first, second = hashed("chalk"), hashed("chalk")
    assert first != second
    assert matches("chalk", first) and matches("chalk", second)
    assert not matches("dust", first) and not matches(first, first)
    assert matches("plain", "plain") and not matches("Plain", "plain")


def test_a_hash_that_another_program_has_made_is_known() -> None:
    # Of "chalk", by Werkzeug's rule: scrypt over the password with the salt as text, N = 2¹⁵, r = 8, p = 1, 64 bytes.
    digest = hashlib.scrypt(b"chalk", salt=b"NaCl", n=2**15, r=8, p=1, maxmem=2**26, dklen=64).hex()
    assert matches("chalk", f"scrypt:32768:8:1$NaCl${digest}")


def test_the_command_prints_a_hash(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("getpass.getpass", lambda: "chalk")
    monkeypatch.delitem(sys.modules, "neatlab.dashboard.doors.passwords")
    runpy.run_module("neatlab.dashboard.doors.passwords", run_name="__main__")
    assert matches("chalk", capsys.readouterr().out.strip())


def test_the_file_is_read_as_it_is(tmp_path: Path) -> None:
    kept = hashed("chalk")
    (tmp_path / "auth").write_text(f"teacher:{kept}\n")
    assert read_auth(None, str(tmp_path / "auth")) == ("teacher", kept)
