"""What visitors bring is opened within a share of the machine's memory."""

import ctypes
import threading
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from neatlab.cli import main
from neatlab.dashboard.shared import memory
from tests.browser.conftest import App, wait_until
from tests.doors.window import Window, packed

LARGE = packed({"layers.0.q.lora_A": (1, 40_000_000), "layers.0.q.lora_B": (2, 1)})  # 160 MB of weights
HEADER = "text,label," + ",".join(f"c{number}" for number in range(900))
TABLE = "\n".join([HEADER, *(f"a b,{row % 2}" + "," * 900 for row in range(20_000))])


@pytest.fixture
def window(shared: App) -> Window:
    return Window(httpx.Client(base_url=shared.url, timeout=120))


@pytest.mark.process
class TestUploads:
    SAID = "MiB of memory, the limit of this server (--memory)"

    def test_an_adapter_that_takes_more_is_refused(self, window: Window) -> None:
        file = window.upload("large.zip", LARGE)
        assert window.hears(self.SAID, "inspect-start", inspect_kind="an upload", inspect_files=[file])

    def test_a_table_that_takes_more_is_refused(self, window: Window) -> None:
        assert window.hears(self.SAID, "data-use", data_file=window.upload("large.csv", TABLE.encode()))

    def test_one_that_takes_less_is_opened(self, window: Window) -> None:
        file = window.upload("small.zip", packed({"layers.0.q.lora_A": (1, 8), "layers.0.q.lora_B": (2, 1)}))
        assert window.hears("Done: small, 1 layer.", "inspect-start", inspect_kind="an upload", inspect_files=[file])


def test_a_container_has_what_it_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "CGROUP", tmp_path / "memory.max")
    whole = memory.machine_bytes()
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.machine_bytes() == whole
    (tmp_path / "memory.max").write_text("1048576\n")
    assert memory.machine_bytes() == 2**20


@pytest.mark.parametrize("share", ["0", "-1", "1.5", "nan", "much"])
def test_a_share_that_is_none_is_refused(share: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["app", f"--memory={share}"]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_freed_memory_is_given_back_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(memory, "GIVE_BACK_SECONDS", 0.0)
    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace(malloc_trim=asked.append))
    ended = memory.keep_giving_back()
    wait_until(lambda: len(asked) > 1)
    ended.set()
    assert set(asked) == {0}


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace())
    before = set(threading.enumerate())
    memory.keep_giving_back()
    assert set(threading.enumerate()) <= before
