"""Uploads lie in a folder of the server's own, within a quota for each visitor and for all."""

import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from neatlab.dashboard.doors.uploads import AT_ONCE_EACH, EACH_BYTES, remove_oldest
from neatlab.dashboard.shared.quota import Quota
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
        assert [path.exists() for path in paths] == [False] * 2 + [True] * kept

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


def test_a_folder_is_kept_within_its_size(files: list[Path], tmp_path: Path) -> None:
    inner = tmp_path / "kept"
    inner.mkdir()
    moved = [path.replace(inner / path.name) for path in files[:3]]
    remove_oldest(tmp_path, 25, files[3].stat().st_mtime + 1)
    assert not files[3].exists()  # it lies in the folder itself, and nothing is on its way
    assert [path.exists() for path in moved] == [False, True, True]
