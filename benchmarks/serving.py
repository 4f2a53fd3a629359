"""The page's server, or any other, in a process of its own: what the benchmarks of the page share."""

import os
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]


class Server(NamedTuple):
    """A server that answers: its address, its process, and the seconds until its first answer."""

    url: str
    pid: int
    seconds: float


def app(runs: Path | str) -> tuple[str, ...]:
    """The command of the page's server, but for its port."""
    return (sys.executable, "app.py", "--runs", str(runs), "--port")


@contextmanager
def served(*command: str, log: Path | None = None) -> Iterator[Server]:
    """The server of a command that takes a port."""
    port = free_port()
    environment = os.environ | {"GRADIO_ANALYTICS_ENABLED": "False"}
    begin = time.perf_counter()
    with open(log or os.devnull, "wb") as output:
        process = subprocess.Popen([*command, str(port)], cwd=ROOT, env=environment, stdout=output, stderr=output)
    url = f"http://127.0.0.1:{port}/"
    try:
        while not answers(url):
            time.sleep(0.02)
        yield Server(url, process.pid, time.perf_counter() - begin)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def answers(url: str) -> bool:
    """Whether a page of Gradio's answers there."""
    try:
        with urllib.request.urlopen(url, timeout=5) as page:
            return b"gradio" in page.read()
    except OSError:
        return False


def p95(values: list[float]) -> float:
    """What 95 of 100 values are below."""
    return statistics.quantiles(values, n=20)[-1]
