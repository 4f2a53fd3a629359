"""What one visitor asks for does not keep another waiting: limits before the work, two places, a time for each."""

from collections.abc import Iterator

import httpx
import pytest

from tests.browser.conftest import App
from tests.doors.window import Window, many_layers

pytestmark = pytest.mark.process
WIDE = b",".join(b"c%d" % number for number in range(1_000_000)) + b"\n" + b"," * 999_999 + b"\n"
LINES = b"\n".join(b'{"text": "a b", "label": "%d", "k%d": 1}' % (n % 2, n) for n in range(40_000))  # a new key in each


@pytest.fixture
def window(http: httpx.Client) -> Window:
    return Window(http)


@pytest.fixture
def other(server: App) -> Iterator[Window]:
    """Another visitor's window."""
    with httpx.Client(base_url=server.url, timeout=120) as client:
        yield Window(client)


def test_an_adapter_of_sixty_thousand_layers_is_refused_before_it_is_built(window: Window) -> None:
    file = window.upload("layers.zip", many_layers(60_000))
    said = "holds 120,000 tensors; allowed in an upload: 10,000"
    assert window.hears(said, "inspect-start", inspect_kind="an upload", inspect_files=[file])


@pytest.mark.parametrize(("name", "content"), [("wide.csv", WIDE), ("lines.jsonl", LINES)])
def test_a_table_of_very_many_columns_is_refused_before_it_is_one(window: Window, name: str, content: bytes) -> None:
    assert window.hears("columns or more; allowed: 1,000", "data-use", data_file=window.upload(name, content))


def test_while_one_visitor_computes_another_does_and_the_first_waits_for_himself(window: Window, other: Window) -> None:
    slow = window.upload("layers.zip", many_layers(3_000))
    chosen = {"inspect_kind": "an upload", "inspect_files": [slow]}
    first = window.answers("inspect-start", **chosen)
    wait_for(first, "Measuring")
    second = Window(window.http).answers("inspect-start", **chosen)
    wait_for(second, "Waiting for a free place: number 1")
    third = other.answers("contains-start", contains_task="teacher:kind=low-rank")
    assert "The frozen weight" in " ".join(third)
    assert "process_completed" not in next(first)
    first.close()
    second.close()


def wait_for(answers: Iterator[str], text: str) -> None:
    for message in answers:
        if text in message:
            return
    pytest.fail(f"nobody said {text}")
