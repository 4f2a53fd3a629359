"""Twenty visitors at one server, three of them hostile: does everybody else get what they came for?

PYTHONPATH=. python benchmarks/server_soak.py [--minutes 10] [--json]

Honest ones look at the runs, start trainings and wait for them, construct a NEAT and upload a table. Hostile
ones send, over and over, an adapter of 60,000 layers and a table of a million columns; a table with another key in each
line; and uploads of 45 MB under invented sessions.

click     p95 of an honest visitor's light click, seconds
trained   honest trainings that were started, and that ended with a result
memory    of the server at the end over that after the first tenth
disk      the most that the folder of uploads had, MiB
alive     whether the server still answers, and wrote no traceback

Needs the requirements of the tests.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.browser.conftest import free_port
from tests.doors.window import Window, many_layers

ROOT = Path(__file__).parents[1]
HONEST, HOSTILE = 17, 3
LINES = b"\n".join(b'{"text": "a b", "label": "%d", "k%d": 1}' % (n % 2, n) for n in range(20_000))
WIDE = b",".join(b"c%d" % n for n in range(1_000_000)) + b"\n"
TABLE = "text,label\n" + "\n".join(f"{'good' if n % 2 else 'bad'} word {n},{n % 2}" for n in range(200))
PAUSE = 1.0  # seconds between two clicks of a visitor


class Figures:
    """What the visitors saw."""

    def __init__(self) -> None:
        self.clicks: list[float] = []
        self.started: list[int] = []
        self.ended: list[bool] = []
        self.errors: list[str] = []


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, psutil.Process]]:
    port = free_port()
    command = [sys.executable, "app.py", "--port", str(port), "--runs", str(folder / "runs")]
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
    url = f"http://127.0.0.1:{port}/"
    try:
        while not answers(url):
            time.sleep(0.1)
        yield url, psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=30).status_code == 200
    except httpx.HTTPError:
        return False


def honest(url: str, number: int, figures: Figures, until: float) -> None:
    """Light clicks, and now and then what takes longer."""
    with httpx.Client(base_url=url, timeout=300) as http:
        window = Window(http)
        for turn in range(10**9):
            if time.monotonic() > until:
                return
            begun = time.perf_counter()
            http.post("gradio_api/run/list", json={"data": []}).raise_for_status()
            figures.clicks.append(time.perf_counter() - begun)
            if turn % 20 == 5:
                train(http, 1000 * number + turn, figures)
            if turn % 20 == 10:
                list(window.answers("contains-start", contains_task="teacher:kind=low-rank"))
            if turn % 40 == 15:
                list(window.answers("data-use", data_file=window.upload("table.csv", TABLE.encode())))
            time.sleep(PAUSE)


def train(http: httpx.Client, seed: int, figures: Figures) -> None:
    """Start a short training, and wait for its end."""

    def ask(name: str, *values: Any) -> dict[str, Any]:
        answer = http.post(f"gradio_api/run/{name}", json={"data": values})
        return dict(answer.raise_for_status().json()["data"][0])

    job = ask("start", "teacher:kind=low-rank", ["lora:rank=2", "neat:rank=2"], 20, seed)["job"]
    figures.started.append(seed)
    while (said := ask("status", job))["phase"] != "ended":
        time.sleep(PAUSE)
    figures.ended.append(said["refusal"] is None and all(run["status"] == "finished" for run in said["runs"]))


def hostile(url: str, number: int, figures: Figures, until: float) -> None:
    """One of three attacks, again and again."""
    layers, block = many_layers(60_000), os.urandom(45 * 2**20)
    with httpx.Client(base_url=url, timeout=300) as http:
        window = Window(http)
        attacks: list[Callable[[], Any]] = [
            lambda: (
                list(
                    window.answers(
                        "inspect-start", inspect_kind="an upload", inspect_files=[window.upload("layers.zip", layers)]
                    )
                ),
                list(window.answers("data-use", data_file=window.upload("wide.csv", WIDE))),
            ),
            lambda: list(window.answers("data-use", data_file=window.upload("lines.jsonl", LINES))),
            lambda: (
                http.post("gradio_api/upload", files={"files": ("a.txt", os.urandom(8) + block)}),
                http.post("gradio_api/run/list", json={"data": [], "session_hash": os.urandom(8).hex()}),
            ),
        ]
        while time.monotonic() < until:
            attacks[number % len(attacks)]()


def visit(visitor: Callable[..., None], url: str, number: int, figures: Figures, until: float) -> None:
    try:
        visitor(url, number, figures, until)
    except Exception as error:
        figures.errors.append(f"{visitor.__name__} {number}: {type(error).__name__} {error}"[:300])


def soak(minutes: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name, served(Path(name)) as (url, process):
        figures, until = Figures(), time.monotonic() + 60 * minutes
        kinds = [honest] * HONEST + [hostile] * HOSTILE
        threads = [
            threading.Thread(target=visit, args=(kind, url, number, figures, until), daemon=True)
            for number, kind in enumerate(kinds)
        ]
        for thread in threads:
            thread.start()
        before, disk = watch(process, until, minutes)
        for thread in threads:
            thread.join(300)
        time.sleep(5)
        return {
            "click_p95_s": statistics.quantiles(figures.clicks, n=20)[-1],
            "clicks": len(figures.clicks),
            "started": len(figures.started),
            "ended": sum(figures.ended),
            "memory": process.memory_info().rss / before,
            "disk_mib": disk / 2**20,
            "alive": answers(url) and "Traceback" not in Path(name, "log").read_text(),
            "errors": figures.errors,
        }


def watch(process: psutil.Process, until: float, minutes: float) -> tuple[int, int]:
    """The server's memory after the first tenth, and the most that its folder has on disk."""
    begun, before, disk = time.monotonic(), 0, 0
    while time.monotonic() < until:
        if before == 0 and time.monotonic() - begun > 6 * minutes:
            before = process.memory_info().rss
        disk = max(disk, on_disk(process.pid))
        time.sleep(1)
    return before or process.memory_info().rss, disk


def on_disk(pid: int) -> int:
    total = 0
    for path in Path(tempfile.gettempdir()).glob(f"neatlab-server-{pid}-*/**/*"):
        with suppress(OSError):  # it has just gone
            total += path.stat().st_size if path.is_file() else 0
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = soak(arguments.minutes)
    if arguments.json:
        print(json.dumps(found, indent=2))
        return
    for name, value in found.items():
        print(f"{name:12} {value:.2f}" if isinstance(value, float) else f"{name:12} {value}")


if __name__ == "__main__":
    main()
