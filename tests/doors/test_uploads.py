"""Uploads lie in a folder of the server's own, within a quota for each visitor and for all."""

import asyncio
import os
import socket
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from neatlab.dashboard.doors.upload_folder import MIN_BYTES, UploadFolder
from neatlab.dashboard.doors.uploads import AT_ONCE_EACH, DOWNLOADS_SHARE, EACH_BYTES, UploadDoor
from neatlab.dashboard.shared.quota import Quota
from neatlab.dashboard.shared.visitors import VISITOR
from tests.browser.conftest import App, wait_until
from tests.doors.window import Window

MEGABYTE = 2**20


@pytest.fixture
def folder(server: App) -> Path:
    (found,) = Path(tempfile.gettempdir()).glob(f"neatlab-server-{server.pid}-*")
    return found


@pytest.fixture
def window(http: httpx.Client) -> Window:
    return Window(http)


@pytest.mark.process
class TestServer:
    def test_nobody_else_on_the_machine_opens_the_folder(self, window: Window, folder: Path) -> None:
        path = Path(window.upload("a.txt", b"a")["path"])
        assert path.is_relative_to(folder / "files")
        assert [stat.S_IMODE(one.stat().st_mode) for one in (folder, folder / "files", folder / "data")] == [0o700] * 3

    def test_a_visitors_oldest_uploads_make_room_for_their_next(self, window: Window, folder: Path) -> None:
        size = 45 * MEGABYTE
        kept = EACH_BYTES // size
        paths = [Path(window.upload(f"{n}.txt", bytes([n]) * size)["path"]) for n in range(kept + 2)]
        wait_until(lambda: [path.exists() for path in paths] == [False] * 2 + [True] * kept)

    def test_a_file_above_the_limit_is_not_kept(self, window: Window, folder: Path) -> None:
        files = {"files": ("large.txt", bytes(51 * MEGABYTE))}
        refused = window.http.post("gradio_api/upload", files=files)
        assert (refused.status_code, "maximum allowed size" in refused.text) == (413, True)
        assert not list((folder / "files").glob("tmp*"))

    def test_three_are_on_their_way_at_once_and_what_is_cut_off_is_removed(
        self, window: Window, server: App, folder: Path
    ) -> None:
        cookie = f"Cookie: {'; '.join(f'{name}={value}' for name, value in window.http.cookies.items())}"
        slow = [open_upload(server, cookie) for _ in range(AT_ONCE_EACH)]
        wait_until(lambda: len(list((folder / "files").glob("tmp*"))) == AT_ONCE_EACH)
        refused = window.http.post("gradio_api/upload", files={"files": ("a.txt", b"a")})
        assert (refused.status_code, "are on their way" in refused.json()["error"]) == (429, True)
        for one in slow:
            one.close()
        wait_until(lambda: not list((folder / "files").glob("tmp*")))
        assert Path(window.upload("b.txt", b"b")["path"]).exists()

    def test_a_window_that_takes_nothing_away_has_no_folder(self, window: Window, folder: Path) -> None:
        before = set((folder / "files").glob("neatlab-*"))
        assert window.hears("process_completed", "runs-delete", runs_chosen=[])
        assert set((folder / "files").glob("neatlab-*")) == before


def open_upload(server: App, cookie: str) -> socket.socket:
    """An upload that has begun and does not end."""
    port = int(server.url.rstrip("/").rpartition(":")[2])
    connection = socket.create_connection(("127.0.0.1", port))
    part = '--x\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\nhalf of it'
    lines = ("POST /gradio_api/upload HTTP/1.1", f"Host: 127.0.0.1:{port}", cookie, "Content-Length: 1000")
    head = "\r\n".join((*lines, "Content-Type: multipart/form-data; boundary=x"))
    connection.sendall(f"{head}\r\n\r\n{part}".encode())
    return connection


@pytest.fixture
def files(tmp_path: Path) -> Iterator[list[Path]]:
    made = [tmp_path / name for name in "abcd"]
    for path in made:
        path.write_bytes(bytes(10))
    yield made


def test_a_quota_drops_the_oldest_of_the_visitor_then_of_all(files: list[Path]) -> None:
    a, b, c, d = files
    quota = Quota(each=25, total=30)
    assert [quota.take(path, "one", 10) for path in (a, b)] == [[], []]
    assert quota.take(c, "two", 10) == []
    assert quota.take(d, "one", 10) == [a]
    assert quota.take(a, "three", 10) == [b]
    assert quota.take(a, "three", 100) == [c, d]  # what is new stays, whatever its size


def upload(folder: Path, name: str, size: int = MIN_BYTES) -> Path:
    """A finished upload, in a folder of its own; each is older than the one before, as under a clock that goes back."""
    path = folder / name / "a.txt"
    path.parent.mkdir()
    path.write_bytes(bytes(size))
    os.utime(path, (1e9 - len(list(folder.iterdir())),) * 2)
    return path


def test_the_files_that_came_first_go_first_whatever_the_clock_says(tmp_path: Path) -> None:
    folder = UploadFolder(tmp_path, each=10 * MIN_BYTES, total=2 * MIN_BYTES)
    paths = []
    for name in "abcd":
        paths.append(upload(tmp_path, name))
        folder.tidy("one", [paths[-1]], [])
    assert [path.parent.exists() for path in paths] == [False, False, True, True]


def test_what_was_made_for_downloads_counts_and_a_small_file_counts_as_more(tmp_path: Path) -> None:
    folder = UploadFolder(tmp_path, each=10 * MIN_BYTES, total=2 * MIN_BYTES)
    made = tmp_path / "neatlab-a" / "inspection" / "report.html"
    made.parent.mkdir(parents=True)
    made.write_bytes(bytes(MIN_BYTES))
    folder.tidy("one", [], [])
    small = [upload(tmp_path, name, size=1) for name in "ab"]
    folder.tidy("one", small, [])
    assert (made.exists(), made.parent.exists()) == (False, True)  # its window may write there again
    assert all(path.exists() for path in small)


def test_an_upload_on_its_way_stays_when_the_clock_is_put_back_and_one_that_was_cut_off_goes(tmp_path: Path) -> None:
    async def receive_upload(scope: Scope, receive: Receive, send: Send) -> None:
        part = tmp_path / str(scope["name"])
        part.write_bytes(b"half")
        os.utime(part, (1e9, 1e9))  # long before it began
        await scope["until"].wait()

    async def main() -> None:
        door = UploadDoor(receive_upload, tmp_path)
        first, second, third = (asyncio.Event() for _ in range(3))
        going = [asyncio.create_task(pass_upload(door, *one)) for one in (("first", first), ("second", second))]
        await until(lambda: (tmp_path / "second").exists())
        second.set()
        await going[1]
        assert (tmp_path / "first").exists()
        going.append(asyncio.create_task(pass_upload(door, "third", third)))
        await until(lambda: (tmp_path / "third").exists())
        first.set()
        await going[0]
        assert {path.name for path in tmp_path.iterdir()} == {"third"}
        third.set()
        await going[2]
        assert not list(tmp_path.iterdir())

    asyncio.run(main())


async def until(is_so: Callable[[], bool]) -> None:
    while not is_so():
        await asyncio.sleep(0)


async def pass_upload(door: UploadDoor, name: str, until: asyncio.Event) -> None:
    async def none(*_: Message) -> Message:
        return {}

    await door({**a_scope(name, 1000), "name": name, "until": until}, none, none)


def a_scope(visitor: str, size: int) -> Scope:
    headers = [(b"content-length", str(size).encode())]
    return {"type": "http", "method": "POST", "path": "/gradio_api/upload", "headers": headers, VISITOR: visitor}


def test_an_upload_has_its_room_before_it_comes(tmp_path: Path) -> None:
    total, statuses = DOWNLOADS_SHARE * MIN_BYTES, []
    old = [upload(tmp_path, str(number)) for number in range(DOWNLOADS_SHARE)]

    async def receive_upload(scope: Scope, receive: Receive, send: Send) -> None:
        assert (
            sum(path.stat().st_size for path in old if path.exists()) == total - (3 + 1) * MIN_BYTES
        )  # 1 for downloads
        await door(a_scope("another", 6 * MIN_BYTES), receive, send)  # three and six are more than half of sixteen

    async def answer(message: Message) -> None:
        statuses.append(message.get("status"))

    door = UploadDoor(receive_upload, tmp_path, total=total)
    asyncio.run(door(a_scope("one", 3 * MIN_BYTES), None, answer))
    assert statuses[0] == 429
    assert sum(path.exists() for path in old) == DOWNLOADS_SHARE - 3 - 1
