"""Time and memory of loading a folder of runs into `.frame()` and `.curves()`, for the first and the second time.

python benchmarks/load_runs.py [--runs 1000] [--steps 1000] [--folder DIR] [--json]

The folder is made anew, with the events that training writes. Each time is taken in a process of its own, after the
imports; the memory is that of the whole process, torch included.
"""

import argparse
import json
import math
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import orjson

LAYERS = [f"encoder.layer.{i}.attention.{name}_proj" for i in range(4) for name in "qv"]
ARMS = [f"neat:rank=4,depth={depth},activation={name}" for depth in (2, 4, 6, 8) for name in ("relu", "gelu", "sin")]
EVERY = 100  # steps between evaluations and spectra


def make_folder(folder: Path, runs: int, steps: int) -> int:
    """Write `runs` ended runs; returns the bytes of their events."""
    from neatlab.config import make_run, parse_arm
    from neatlab.runtime.environment import environment

    here, size = environment(), 0
    for number in range(runs):
        arm = parse_arm(ARMS[number % len(ARMS)])
        config = make_run("digits", arm, number // len(ARMS), {}, {"steps": steps, "eval_every": EVERY})
        path = folder / config.run_id
        path.mkdir(parents=True)
        (path / "config.json").write_bytes(orjson.dumps({"run": config.model_dump(), "environment": here}))
        lines = b"".join(orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE) for event in events(number, steps))
        (path / "events.jsonl").write_bytes(lines)
        (path / "summary.json").write_bytes(orjson.dumps(summary(number)))
        size += len(lines)
    return size


def events(seed: int, steps: int) -> list[dict[str, object]]:
    """What a run of `steps` steps says."""
    noise = random.Random(seed)
    found: list[dict[str, object]] = [{"type": "RunStarted", "trainable_params": 4746, "adapter_params": 4096}]
    for step in range(1, steps + 1):
        loss = math.exp(-step / steps) + noise.gauss(0, 0.05)
        rate = 1e-3 * (1 - step / steps)
        found.append({"type": "Step", "step": step, "loss": loss, "lr": rate, "seconds": noise.uniform(0.01, 0.02)})
        if step % EVERY == 0:
            split = "test" if step == steps else "validation"
            score = {"loss": loss, "metric": noise.random(), "extras": {}}
            found.append({"type": "Evaluated", "step": step, "split": split, **score})
            found += [spectrum(layer, step, noise) for layer in LAYERS]
    return [*found, {"type": "RunFinished", "step": steps, "seconds": 15.0, "seconds_per_step": 0.015}]


def spectrum(layer: str, step: int, noise: random.Random) -> dict[str, object]:
    """One layer's spectrum."""
    names = ("effective_rank", "stable_rank", "participation_ratio", "norm", "relative_norm")
    values = sorted((noise.random() for _ in range(4)), reverse=True)
    sums = {name: noise.random() for name in names}
    return {"type": "SpectrumMeasured", "step": step, "layer": layer, "singular_values": values, **sums}


def summary(seed: int) -> dict[str, object]:
    """What such a run ends with."""
    noise = random.Random(seed)
    counts = {"status": "finished", "trainable_params": 4746, "adapter_params": 4096, "saved_bytes": 1_000_000}
    scores = {"metric": noise.random(), "loss": 0.4, "validation_metric": 0.9, "validation_loss": 0.4}
    return {**counts, **scores, "seconds": 15.0, "seconds_per_step": 0.015, "effective_rank": 3.1}


def load(folder: Path) -> dict[str, float]:
    """Seconds of each part, rows, and the process's largest memory."""
    from neatlab import load_runs

    marks = [time.perf_counter()]
    results = load_runs(folder)
    marks.append(time.perf_counter())
    rows = len(results.frame())
    marks.append(time.perf_counter())
    points = len(results.curves())
    marks.append(time.perf_counter())
    names = ("read_s", "frame_s", "curves_s")
    parts = {name: end - begin for name, begin, end in zip(names, marks, marks[1:], strict=False)}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"rows": rows, "points": points, **parts, "seconds": marks[-1] - marks[0], "peak_gib": peak}


def measure(folder: Path) -> dict[str, float]:
    """`load` in a process of its own."""
    command = [sys.executable, __file__, "--load", str(folder)]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


def main() -> None:
    """Make the folder, measure twice and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--folder", type=Path, help="where the runs go and stay (default: a temporary folder)")
    parser.add_argument("--load", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.load:
        print(json.dumps(load(options.load)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        size = make_folder(folder, options.runs, options.steps)
        found = {"runs": options.runs, "steps": options.steps, "event_bytes": size}
        times = {"first": measure(folder), "second": measure(folder)}
    if options.json:
        print(json.dumps({**found, **times}))
        return
    print(f"{options.runs} runs of {options.steps} steps, {size / 1e6:.0f} MB of events")
    for name, one in times.items():
        parts = ", ".join(f"{part} {one[part + '_s']:.2f}" for part in ("read", "frame", "curves"))
        print(f"{name} time: {one['seconds']:.2f} s ({parts}), {one['points']:,} points, {one['peak_gib']:.2f} GiB")


if __name__ == "__main__":
    main()
