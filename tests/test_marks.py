"""A test that starts a process and is not marked so fails by its name; this module is not marked."""

import multiprocessing
import subprocess
import sys
from collections.abc import Callable

import pytest


@pytest.mark.parametrize(
    "start",
    [
        lambda: subprocess.run([sys.executable, "-c", ""], check=True),
        lambda: multiprocessing.get_context("spawn").Process().start(),
    ],
    ids=["subprocess", "multiprocessing"],
)
def test_a_process_that_no_mark_speaks_of_is_refused(start: Callable[[], None], request: pytest.FixtureRequest) -> None:
    with pytest.raises(pytest.fail.Exception, match="starts a process and is not marked") as refused:
        start()
    assert request.node.nodeid in str(refused.value)


@pytest.mark.process
def test_a_marked_one_may_start_them() -> None:
    subprocess.run([sys.executable, "-S", "-c", ""], check=True)
