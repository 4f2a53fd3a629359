"""Wait for facts, however fast the machine is."""

import time
from collections.abc import Callable
from typing import Any

import psutil

LIMIT = 240.0  # seconds; no measure of speed, but a net below pytest's own limit: the failure names the fact


def wait_until(met: Callable[[], Any], limit: float = LIMIT) -> None:
    """Wait until a fact is so."""
    end = time.monotonic() + limit
    while not met():
        assert time.monotonic() < end, f"not so after {limit} s"
        time.sleep(0.01)


def is_alive(process: psutil.Process) -> bool:
    """Whether a process still works; one that has ended and was not asked how is none."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
