"""Twenty visitors at one server, three of them hostile: does everybody else get what they came for?

PYTHONPATH=. python benchmarks/server_soak.py [--minutes 10] [--json]

Honest ones look at the runs and turn cards, train, construct a NEAT, bring a table, inspect their run and delete it,
and load the page anew. Hostile ones, each in a process of its own, send over and over an adapter of 60,000 layers and a
table of a million columns; a table with another key in each line; and uploads of 45 MB under invented sessions and
without the cookie that they were given.

First the honest ones go one round alone; then all of them until the time is over.

click     p95 of an honest visitor's light click, seconds: alone, and beside the hostile ones; the latter by kind too
trained   honest trainings that were started, and that ended with a result
attacks   how often each of the hostile ones came through
memory    of the server and its processes at the end over that after the honest round alone, each when all windows are
          closed and it does not change any more; and the most that they had, MiB
disk      the most that the folder of uploads had, MiB
log       lines of the server's log that are no refusals
load      of the machine, mean over a minute, at the start and at the end

Needs the requirements of the tests.
"""

import argparse
import json
import multiprocessing
import os
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain, count
from pathlib import Path
from typing import Any

import httpx
import psutil
from serving import answers, app, p95, served

from tests.doors.window import Window, many_layers

HONEST, HOSTILE = 17, 3
LINES = b"\n".join(b'{"text": "a b", "label": "%d", "k%d": 1}' % (n % 2, n) for n in range(20_000))
WIDE = b",".join(b"c%d" % n for n in range(1_000_000)) + b"\n"
TABLE = "text,label\n" + "\n".join(f"{'good' if n % 2 else 'bad'} word {n},{n % 2}" for n in range(200))
PAUSE = 1.0  # seconds between two clicks of a visitor
TURNS = 20  # clicks until a visitor loads the page anew
PATIENCE = 300.0  # seconds
SETTLED, SETTLE = 0.01, 60.0  # change of the memory from look to look, and seconds until it is taken as it is
SEEDS = count()


class Figures:
    """What the honest visitors saw."""

    def __init__(self) -> None:
        self.clicks: dict[str, list[float]] = defaultdict(list)
        self.started: list[int] = []
        self.ended: list[int] = []
        self.errors: list[str] = []

    @property
    def p95(self) -> float:
        """Of all clicks."""
        return p95([*chain.from_iterable(self.clicks.values())])


@contextmanager
def opened(url: str) -> Iterator[Window]:
    """A window of the page, which is closed afterwards as a browser does that."""
    with httpx.Client(base_url=url, timeout=PATIENCE) as http:
        window = Window(http)
        with http.stream("GET", f"gradio_api/heartbeat/{window.session}"):
            yield window


def honest_round(url: str, number: int, figures: Figures, until: float) -> None:
    """Light clicks, and now and then what takes longer."""
    run = ""
    with opened(url) as window:
        for turn in range(TURNS):
            if time.monotonic() > until:
                return
            click(window, ("list", "card", "look")[turn % 3], figures)
            match (turn + number) % TURNS:
                case 2:
                    list(window.answers("contains-start", contains_task="teacher:kind=low-rank"))
                case 6:
                    list(window.answers("data-use", data_file=window.upload("table.csv", TABLE.encode())))
                case 10:
                    run = train(window.http, figures)
                case 14 if run:
                    list(window.answers("inspect-start", inspect_run=run))
                case 18 if run:
                    list(window.answers("runs-delete", runs_chosen=[run]))
                    list(window.answers("runs-yes", runs_chosen=[run]))
            time.sleep(PAUSE)


def click(window: Window, kind: str, figures: Figures) -> None:
    begun = time.perf_counter()
    if kind == "list":
        window.http.post("gradio_api/run/list", json={"data": []}).raise_for_status()
    else:
        list(window.answers("reveal-0" if kind == "card" else "runs-refresh"))
    figures.clicks[kind].append(time.perf_counter() - begun)


def train(http: httpx.Client, figures: Figures) -> str:
    """Start a short training, and wait for its end; returns a run of it."""

    def ask(name: str, *values: Any) -> dict[str, Any]:
        answer = http.post(f"gradio_api/run/{name}", json={"data": values})
        return dict(answer.raise_for_status().json()["data"][0])

    job = ask("start", "teacher:kind=low-rank", ["lora:rank=2", "neat:rank=2"], 20, next(SEEDS))["job"]
    figures.started.append(job)
    while (said := ask("status", job))["phase"] != "ended":
        time.sleep(PAUSE)
    if said["refusal"] is None and all(run["status"] == "finished" for run in said["runs"]):
        figures.ended.append(job)
    else:
        figures.errors.append(f"training {said}"[:600])
    return str(said["runs"][0]["run"])


def honest(url: str, number: int, figures: Figures, until: float) -> None:
    """Rounds until the time is over, one at least; what goes wrong is noted."""
    try:
        honest_round(url, number, figures, until)
        while time.monotonic() < until < float("inf"):
            honest_round(url, number, figures, until)
    except Exception as error:
        figures.errors.append(f"visitor {number}: {type(error).__name__} {error}"[:300])


def hostile(url: str, number: int, until: float, done: Any) -> None:
    """One of three attacks, again and again.

    Args:
        url: The server.
        number: Which of them.
        until: When to end, on the monotonic clock.
        done: Counts those that were answered.
    """
    layers, block = many_layers(60_000), os.urandom(45 * 2**20)
    with httpx.Client(base_url=url, timeout=PATIENCE) as http:
        window = Window(http)

        def deep_and_wide() -> None:
            file = window.upload("layers.zip", layers)
            list(window.answers("inspect-start", inspect_kind="an upload", inspect_files=[file]))
            list(window.answers("data-use", data_file=window.upload("wide.csv", WIDE)))

        def keys() -> None:
            list(window.answers("data-use", data_file=window.upload("lines.jsonl", LINES)))

        def uploads() -> None:
            http.post("gradio_api/upload", files={"files": ("a.txt", os.urandom(8) + block)})
            for _ in range(10):
                http.post("gradio_api/run/list", json={"data": [], "session_hash": os.urandom(8).hex()})
            http.cookies.clear()
            http.get("")

        attack = (deep_and_wide, keys, uploads)[number]
        while time.monotonic() < until:
            with suppress(httpx.HTTPError):
                attack()
                done.value += 1


def soak(minutes: float) -> dict[str, Any]:
    """The figures of a run."""
    loads, alone, beside = [os.getloadavg()[0]], Figures(), Figures()
    with tempfile.TemporaryDirectory() as name, served(*app(Path(name, "runs")), log=Path(name, "log")) as server:
        crowd(server.url, alone, float("inf"))
        before = settled(server.pid)
        watch = Watch(server.pid)
        attacks = attacked(server.url, minutes, lambda until: crowd(server.url, beside, until))
        watch.ended.set()
        loads.append(os.getloadavg()[0])
        after, log = settled(server.pid), Path(name, "log").read_text()
        return {
            "click": {"alone": alone.p95, "beside": beside.p95, **{k: p95(v) for k, v in beside.clicks.items()}},
            "clicks": sum(map(len, beside.clicks.values())),
            "trained": (len(beside.started), len(beside.ended)),
            "attacks": attacks,
            "memory": {"ratio": after / before, "before": mib(before), "after": mib(after), "most": mib(watch.memory)},
            "disk": mib(watch.disk),
            "log": [line for line in log.splitlines() if " from 127.0.0.1: " not in line][:20],
            "alive": answers(server.url),
            "load": loads,
            "errors": alone.errors + beside.errors,
        }


def crowd(url: str, figures: Figures, until: float) -> None:
    """The honest visitors; ends when all of them have."""
    threads = [threading.Thread(target=honest, args=(url, number, figures, until)) for number in range(HONEST)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def attacked(url: str, minutes: float, meanwhile: Callable[[float], None]) -> list[int]:
    """How often each hostile visitor came through while something else went on.

    Args:
        url: The server.
        minutes: How long.
        meanwhile: Takes the end on the monotonic clock, which all processes of a machine share.
    """
    context = multiprocessing.get_context("spawn")
    done = [context.Value("i", 0) for _ in range(HOSTILE)]
    until = time.monotonic() + 60 * minutes
    visitors = [context.Process(target=hostile, args=(url, n, until, done[n]), daemon=True) for n in range(HOSTILE)]
    for visitor in visitors:
        visitor.start()
    meanwhile(until)
    for visitor in visitors:
        visitor.join(PATIENCE)
    return [value.value for value in done]


class Watch:
    """The most that the server has of memory and disk, looked at every second.

    Args:
        pid: The server.
    """

    def __init__(self, pid: int) -> None:
        self._pid, self.ended = pid, threading.Event()
        self.memory = self.disk = 0
        threading.Thread(target=self._look, daemon=True).start()

    def _look(self) -> None:
        while not self.ended.wait(1):
            self.memory = max(self.memory, memory(self._pid))
            self.disk = max(self.disk, disk(self._pid))


def settled(pid: int) -> int:
    """The memory of a server when it does not change any more."""
    begun, last = time.monotonic(), 0
    while time.monotonic() < begun + SETTLE:
        time.sleep(10)
        now = memory(pid)
        if abs(now - last) < SETTLED * now:
            return now
        last = now
    return last


def memory(pid: int) -> int:
    """Bytes that a process and its children have for themselves alone."""
    server, total = psutil.Process(pid), 0
    for process in (server, *server.children(recursive=True)):
        with suppress(psutil.Error):  # it has just ended
            total += process.memory_full_info().uss
    return total


def disk(pid: int) -> int:
    """Bytes of the server's folder of uploads."""
    total = 0
    for served_from in Path(tempfile.gettempdir()).glob(f"neatlab-server-{pid}-*/files"):
        for folder, _, names in os.walk(served_from):
            for name in names:
                with suppress(OSError):  # it has just gone
                    total += Path(folder, name).stat().st_size
    return total


def mib(size: int) -> float:
    return size / 2**20


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
        print(f"{name:10}", shown(value))


def shown(value: Any) -> str:
    if isinstance(value, dict):
        return "  ".join(f"{key} {shown(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(shown, value)) or "none"
    return f"{value:.2f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
