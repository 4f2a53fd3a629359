"""The lab on a public machine: the Space's folder, the container's file, and limits that nobody gets past."""

import re
import runpy
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from packaging.specifiers import SpecifierSet

from neatlab.cli import main
from neatlab.dashboard.doors.frames import ancestors
from neatlab.dashboard.server import launch
from neatlab.dashboard.shared.profile import NO_FILES
from neatlab.dashboard.shared.sweeper import GONE_SECONDS, MOST_SECONDS, Sweeper
from neatlab.dashboard.shared.visitors import Visitors
from neatlab.errors import BadInput
from tests.browser.conftest import App, serve, wait_until
from tests.dashboard_runs import four_runs
from tests.doors.test_owners import ask, phase
from tests.doors.window import Window

ROOT = Path(__file__).parents[1]
SCRIPT = runpy.run_path(str(ROOT / "scripts" / "space.py"))
SPACE = {"SYSTEM": "spaces", "SPACE_ID": "owner/neatlab", "SPACE_HOST": "owner-neatlab.hf.space"}
TASK = "teacher:kind=low-rank"
REST = (0, None, None, None)  # seed, learning rate, batch size, match


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("space")
    SCRIPT["write"](folder)
    return folder


def test_the_space_holds_the_package_and_the_versions_of_the_lock(space: Path) -> None:
    lock = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    _, head, _ = (space / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    facts = dict(line.split(": ", 1) for line in head.splitlines())
    assert facts["sdk"] == "gradio"
    assert f"\ngradio=={facts['sdk_version']} " in lock
    assert len(facts["short_description"]) <= 60  # characters, which Spaces ask for
    assert (space / facts["app_file"]).is_file()
    assert (space / "requirements.txt").read_text(encoding="utf-8").endswith(lock)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert SpecifierSet(project["requires-python"]).contains(facts["python_version"].strip('"'))
    ours = {path.relative_to(ROOT) for path in (ROOT / "neatlab").rglob("*") if path.is_file()}
    copied = {path.relative_to(space) for path in (space / "neatlab").rglob("*") if path.is_file()}
    assert copied == {path for path in ours if path.suffix != ".pyc"}
    SCRIPT["write"](space)  # over the one before


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(ValueError, match="something else than a Space"):
        SCRIPT["write"](tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "mine"


def test_the_container_has_what_its_file_names_and_is_not_run_by_root() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    copied = [name for line in re.findall(r"^COPY (.*)$", text, re.MULTILINE) for name in line.split()[:-1]]
    assert {"requirements.txt", "neatlab", "app.py"} <= set(copied)
    for name in copied:
        assert (ROOT / name).exists(), name
        assert f"!{name}" in ignored
    python = re.findall(r"^FROM python:([\d.]+)-slim$", text, re.MULTILINE)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert SpecifierSet(project["requires-python"]).contains(python[0])
    assert text.rindex("\nUSER lab\n") < text.index("\nENTRYPOINT ")
    options = re.findall(r'"(--[\w-]+)"', text)
    assert {"--host", "--port", "--insecure"} == set(options)


@pytest.fixture(scope="module")
def server(space: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """As a Space starts it; a training may take three seconds, one at a time."""
    named = {**SPACE, "GRADIO_SERVER_NAME": "0.0.0.0"}
    with serve(
        tmp_path_factory.mktemp("public"), "--seconds", "3", "--trainings", "1", script=str(space / "app.py"), **named
    ) as served:
        yield served


@pytest.fixture
def http(server: App) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=120) as client:
        client.get("")
        yield client


@pytest.mark.process
def test_it_answers_to_the_names_of_the_space_and_stands_in_its_frame(http: httpx.Client) -> None:
    outside = {"Host": SPACE["SPACE_HOST"], "X-Forwarded-Proto": "https"}
    answer = httpx.get(f"{http.base_url}", headers=outside, timeout=120)
    assert answer.status_code == 200
    assert "frame-ancestors 'self' https://huggingface.co" in answer.headers["content-security-policy"]
    assert "SameSite=None; Secure; Partitioned" in answer.headers["set-cookie"]
    assert http.get("", headers={"Host": "evil.example"}).status_code == 403


@pytest.mark.process
def test_nothing_is_brought_in(http: httpx.Client, tmp_path: Path) -> None:
    assert http.post("gradio_api/upload", files={"files": ("a.csv", b"text,label\n")}).json()["error"] == NO_FILES
    window, other = Window(http), tmp_path / "a.csv"
    other.write_text("text,label\na,b\n")
    file = {"path": str(other), "orig_name": "a.csv", "meta": {"_type": "gradio.FileData"}}
    for value, said in ((None, NO_FILES), (file, "was not uploaded by a user")):
        assert window.hears(said, "data-use", data_file=value, data_model=str(tmp_path)) == (value is None)
        chosen = {"inspect_kind": "an upload", "inspect_files": value and [value]}
        assert window.hears(said, "inspect-start", **chosen) == (value is None)
    folder = {"inspect_kind": "a folder", "inspect_folder": str(tmp_path)}
    assert window.hears("this server opens no folders", "inspect-start", **folder)
    unknown, gone = "unknown task", "these data are not here any more"
    for task, said in ((f"custom:data={other}", unknown), (f"text:model={tmp_path}", unknown), ("upload:1/a", gone)):
        assert said in ask(http, "start", task, ["lora:rank=1"], 5, *REST).json()["error"]


@pytest.mark.process
def test_trainings_are_short_and_few(http: httpx.Client) -> None:
    assert "5000" in ask(http, "start", TASK, ["lora:rank=1"], 5001, *REST).json()["error"]
    first, second = (
        ask(http, "start", TASK, ["lora:rank=1"], 5000, seed, *REST[1:]).json()["data"][0] for seed in (1, 2)
    )
    assert second["place"] == 1  # it waits, for one trains at a time
    refused = ask(http, "start", TASK, ["lora:rank=1"], 1, *REST).json()["error"]
    assert refused.startswith("2 of yours train or wait already, the most that this server takes")
    ask(http, "stop", second["job"], second["token"])
    wait_until(lambda: phase(http, first["job"]) == "ended")
    refusal = ask(http, "status", first["job"]).json()["data"][0]["refusal"]
    assert "longer than 3 s, the limit of this server" in refusal["message"]


def test_a_run_goes_with_its_visitor(tmp_path: Path) -> None:
    store, visitors = four_runs(tmp_path / "runs"), Visitors()
    first, second, busy, old = (run.run_id for run in store.runs())
    jobs: Any = SimpleNamespace(makers={first: "ann", second: "bob", busy: "bob"}, active=lambda: [training])
    training: Any = SimpleNamespace(runs=[SimpleNamespace(run_id=busy)])
    visitors.enter("window", "ann")
    sweeper = Sweeper(store, jobs, visitors)
    for now, there in (
        (0, {first, second, busy, old}),
        (GONE_SECONDS + 1, {first, busy, old}),
        (MOST_SECONDS, {first, busy, old}),
        (MOST_SECONDS + 1, {busy, old}),
    ):
        sweeper.sweep(now)
        assert {run.run_id for run in store.runs()} == there
    assert set(jobs.makers) == {busy}


def test_a_run_outlives_a_reload(tmp_path: Path) -> None:
    store, visitors = four_runs(tmp_path / "runs"), Visitors()
    run_id = store.runs()[0].run_id
    sweeper = Sweeper(store, SimpleNamespace(makers={run_id: "ann"}, active=list), visitors)  # type: ignore[arg-type]
    for now in (0, GONE_SECONDS, GONE_SECONDS + 5):
        sweeper.sweep(now)
        visitors.enter("another", "ann")
    assert len(store.runs()) == 4


def test_what_cannot_be_public_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for options in ({"inspect_root": tmp_path}, {"shared_runs": True}):
        with pytest.raises(BadInput, match="beside --public"):
            launch("127.0.0.1", 7860, tmp_path, public=True, **options)  # type: ignore[arg-type]
    launched: list[Any] = []
    monkeypatch.setattr("neatlab.dashboard.server.launch", lambda *given, **_: launched.append((*given,)))
    monkeypatch.setenv("GRADIO_SERVER_NAME", "0.0.0.0")
    monkeypatch.setenv("GRADIO_SERVER_PORT", "7861")
    assert main(["app", "--public"]) == 0
    assert main(["app"]) == 0
    (host, port, folder), own = launched
    assert (host, port) == ("0.0.0.0", 7861)
    assert not Path(folder).exists()  # it went with the server
    assert own == ("127.0.0.1", 7860, "runs")
    monkeypatch.setenv("GRADIO_SERVER_PORT", "http")
    assert main(["app", "--public"]) == 2


@pytest.mark.parametrize("origin", ["*", "https://", "javascript:alert(1)", "https://a.example/path", "a.example; *"])
def test_what_is_no_origin_is_refused(origin: str) -> None:
    with pytest.raises(BadInput, match="--embed-from"):
        ancestors([origin], False, {})
    assert ancestors(["https://*.school.example:8080"], False, {}) == ("https://*.school.example:8080",)
