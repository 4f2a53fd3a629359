"""A page of another site, in a real browser: under another name of this machine, and on another port of it."""

import tempfile
from collections.abc import Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import httpx
import pytest
from playwright.sync_api import Page

from tests.browser.conftest import App, jobs_of

pytestmark = pytest.mark.browser
NAME = "rebound.example"  # this browser takes it for 127.0.0.1
SEEDS = count(700)
ATTACK = """async ([base, job, run]) => {
  const form = new FormData();
  form.append("files", new Blob(["from elsewhere"]), "page.txt");
  const call = (path, values) => [path, JSON.stringify(values)];
  const tries = [
    call("run/start", {data: ["teacher:kind=low-rank", ["lora:rank=1"], 1, 71, null, null, null]}),
    call("run/stop", {data: [job, ""]}),
    call("queue/join", {data: [[run]], fn_index: 0, session_hash: "from-elsewhere"}),
    ["upload", form],
  ];
  const said = [];
  for (const [path, body] of tries) {
    for (const mode of ["cors", "no-cors"]) {
      const type = mode === "cors" && typeof body === "string" ? {"Content-Type": "application/json"} : {};
      try {
        const answer = await fetch(base + "gradio_api/" + path, {method: "POST", mode, body, headers: type});
        said.push(answer.status);
      } catch (error) {
        said.push(0);
      }
    }
  }
  return said;
}"""


class Elsewhere(BaseHTTPRequestHandler):
    """Another site: its page, and what a name that was moved meanwhile does, everything else to the app as it came."""

    app_port: ClassVar = 0

    def do_GET(self) -> None:
        self.answer(200, b"<title>elsewhere</title>")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        app = HTTPConnection("127.0.0.1", self.app_port, timeout=90)
        app.request("POST", self.path, body, dict(self.headers))
        answer = app.getresponse()
        self.answer(answer.status, answer.read())

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def elsewhere(app: App) -> Iterator[str]:
    """Another site, on a port of this machine, under a name of its own."""
    port = int(app.url.rstrip("/").rpartition(":")[2])
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Moved", (Elsewhere,), {"app_port": port}))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://{NAME}:{server.server_port}/"
    server.shutdown()
    server.server_close()


def state(app: App) -> tuple[Any, ...]:
    """What an attack would change."""
    jobs = [(job["job"], job["phase"] == "ended") for job in jobs_of(app.url)]
    (folder,) = Path(tempfile.gettempdir()).glob(f"neatlab-server-{app.pid}-*")
    files = sorted(path.name for path in (folder / "files").rglob("page.txt"))
    return jobs, files, sorted(path.name for path in app.runs.glob("?" * 12))


@pytest.fixture
def victim(app: App) -> dict[str, Any]:
    """A training that goes on, with a seed of its own."""
    seed = next(SEEDS)
    call = {"data": ["digits", ["lora:rank=1", "lora:rank=2"], 5000, seed, None, None, None]}
    job = httpx.post(f"{app.url}gradio_api/run/start", json=call, timeout=90).json()["data"][0]
    app.wait_for_steps(seed, 1)
    return {**job, "seed": seed}


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", NAME])
def test_a_page_on_another_port_changes_nothing(
    page: Page, app: App, victim: dict[str, Any], elsewhere: str, host: str
) -> None:
    before = state(app)
    page.goto(elsewhere)
    run = next(iter(app.stored(victim["seed"]).values())).run_id
    answers = page.evaluate(ATTACK, [app.url.replace("127.0.0.1", host), victim["job"], run])
    assert set(answers) <= {0, 403}  # 0: the browser does not tell the page
    assert state(app) == before


def test_a_page_whose_name_was_pointed_here_changes_nothing(
    page: Page, app: App, victim: dict[str, Any], elsewhere: str
) -> None:
    before = state(app)
    page.goto(elsewhere)
    run = next(iter(app.stored(victim["seed"]).values())).run_id
    assert page.evaluate(ATTACK, [elsewhere, victim["job"], run]) == [403] * 8  # of one origin, as the browser sees it
    assert state(app) == before
    page.goto(app.url.replace("127.0.0.1", NAME))
    assert "does not answer to" in page.content()
