"""Seconds to list, filter, sort, group, tag and select among many runs: the store alone, and the Runs tab's handlers.

python benchmarks/runs_scale.py [--runs 10000] [--folder DIR] [--json]

One run is trained; the others are its files with another arm, seed and learning rate, a tenth of them with a tag.
Every part but the first is the median of `ROUNDS`; "new process" is a second process that lists a folder which
another has listed before.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import orjson

from neatlab.config import RunConfig, make_run, parse_arm
from neatlab.dashboard.runs.finder import Asked
from neatlab.dashboard.runs.tab import RunsTab
from neatlab.dashboard.shared.context import Context
from neatlab.dashboard.shared.listing import read_store
from neatlab.experiments.execute import execute
from neatlab.runs.notes import annotate
from neatlab.runs.run import seal
from neatlab.runs.store import Store

SMALL = {"d_in": 16, "d_out": 8, "samples": 64}
ARMS = [f"lora:rank={rank}" for rank in (1, 2, 4, 8)] + [f"neat:rank=4,depth={depth}" for depth in (2, 4, 6, 8)]
ROUNDS = 5
WINDOW: Any = SimpleNamespace(session_hash="benchmark", username=None)
NO_FIELDS = [None] * 4  # task, cost, run and format of the adapter


def config(number: int) -> RunConfig:
    """A run that no other number has."""
    training = {"steps": 6, "eval_every": 3, "spectrum_every": 3, "lr": 1e-3 * (1 + number // 8 % 5)}
    return make_run("teacher", parse_arm(ARMS[number % len(ARMS)]), number // 40, SMALL, training)


def make_folder(store: Store, runs: int) -> None:
    """Train one run and write `runs` of its kind."""
    first = config(0)
    list(execute(first, store))
    pattern = store.root / first.run_id
    for number in range(1, runs):
        copy_run(pattern, config(number), number)


def copy_run(pattern: Path, other: RunConfig, number: int) -> None:
    """The ended run in `pattern` under another configuration."""
    stored, summary = (orjson.loads((pattern / f"{name}.json").read_bytes()) for name in ("config", "summary"))
    values, path = other.model_dump(), pattern.parent / other.run_id
    path.mkdir()
    if number % 10 == 0:
        annotate(path, ["every-tenth"], note=f"number {number}")
    (path / "events.jsonl").write_bytes((pattern / "events.jsonl").read_bytes())
    (path / "config.json").write_bytes(orjson.dumps({**stored, "run": values, "seal": seal(other.run_id, values)}))
    (path / "summary.json").write_bytes(orjson.dumps({**summary, "metric": summary["metric"] + number / 1e5}))


def timed(function: Callable[[], Any], rounds: int = ROUNDS) -> float:
    """Median seconds of a call."""
    seconds = []
    for _ in range(rounds):
        begin = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds)


def measure_store(store: Store, runs: int) -> dict[str, float]:
    """Seconds of listing through the store."""
    found = {"first listing": timed(store.survey, 1), "listing again": timed(store.survey)}
    copy_run(store.root / config(0).run_id, config(runs), runs)
    return {**found, "after one new run": timed(store.survey, 1), "in a new process": in_a_new_process(store.root)}


def in_a_new_process(root: Path) -> float:
    """Seconds of the first listing of a process that begins now, its imports left out."""
    command = [sys.executable, __file__, "--list", str(root)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def find(tab: RunsTab, asked: Asked) -> list[Any]:
    """What the table shows after a click that asks for this."""
    return tab._finder.find(read_store(tab.context.store, ()), asked)


def tag(tab: RunsTab, chosen: list[str]) -> None:
    """Give the selected runs a tag that they do not have, and see the table with it."""
    tags = f"every-tenth new-{time.perf_counter_ns()}"
    said = tab._notes._keep(chosen, tags, "", *Asked(), WINDOW)[0]
    if "alert" in said:
        raise AssertionError(said)


def measure_page(store: Store) -> dict[str, float]:
    """Seconds of the Runs tab's handlers, and bytes that the page is sent."""
    jobs: Any = SimpleNamespace(active=list, makers={})
    with gr.Blocks(), gr.Tab("Runs"):
        tab = RunsTab(Context(store, jobs, shared_runs=True))
    chosen = [config(number).run_id for number in range(4)]
    begin = time.perf_counter()
    opened = tab._renew([], *NO_FIELDS, *Asked(), WINDOW)
    grouped = Asked(group="rank")
    group = find(tab, grouped)[1]["value"][0]
    return {
        "page: first opened": time.perf_counter() - begin,
        "page: open": timed(lambda: tab._renew([], *NO_FIELDS, *Asked(), WINDOW)),
        "page: filter": timed(lambda: find(tab, Asked("neat depth=4 seed=12"))),
        "page: sort": timed(lambda: find(tab, Asked(order="metric ↓"))),
        "page: filter by tag": timed(lambda: find(tab, Asked(tag="every-tenth"))),
        "page: group": timed(lambda: find(tab, grouped)),
        "page: page 50": timed(lambda: find(tab, Asked(page=50))),
        "page: select four": timed(lambda: tab._show(chosen, *NO_FIELDS, WINDOW)),
        "page: select a group": timed(lambda: tab._choose_group(*grouped, SimpleNamespace(row_value=group), WINDOW)),
        "page: tag four": timed(lambda: tag(tab, chosen)),
        "page: MB sent": len(json.dumps(opened, default=str)) / 1e6,
    }


def main() -> None:
    """Make the folder, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--folder", type=Path, help="where the runs go and stay (default: a temporary folder)")
    parser.add_argument("--list", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.list:
        print(timed(Store(options.list).survey, 1))
        return
    with tempfile.TemporaryDirectory() as temporary:
        store = Store(options.folder or temporary)
        make_folder(store, options.runs)
        found = {**measure_store(store, options.runs), **measure_page(store)}
    if options.json:
        print(json.dumps({"runs": options.runs, **found}))
        return
    print(f"{options.runs:,} runs")
    for name, value in found.items():
        print(f"{name}: {value:.3f}")


if __name__ == "__main__":
    main()
