"""A sweep's time on one-thread workers against the same runs one after another in one process.

    python benchmarks/sweep_throughput.py [--workers 2] [--seeds 2] [--steps 150] [--json]

The reference runs with torch's default threads, as a plain script would. Starting the workers counts. With --prune
the share of the training steps that successive halving spends, and whether it ends with the same winner, come with it.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import torch

from neatlab.experiments.execute import execute
from neatlab.experiments.sweep import Sweep
from neatlab.runs.results import Results, load_runs

GRID = {"depth": [2, 4, 6], "activation": ["relu", "gelu", "tanh", "sin"]}


def one_after_another(request: Sweep) -> float:
    """Seconds of all runs in this process."""
    begin = time.perf_counter()
    for config in request.configs:
        for _ in execute(config, request.store):
            pass
    return time.perf_counter() - begin


def swept(request: Sweep, workers: int, prune: bool) -> float:
    """Seconds of the sweep, the start of its workers included."""
    begin = time.perf_counter()
    request.run(workers=workers, prune=prune)
    return time.perf_counter() - begin


def steps_done(results: Results) -> int:
    """Optimiser steps over all runs."""
    return int((results.curves()["split"] == "train").sum())


def best(results: Results) -> tuple[str, float]:
    """The arm with the best mean accuracy, and that accuracy."""
    means = results.frame().groupby("arm", observed=True)["metric"].mean().dropna()
    return str(means.idxmax()), float(means.max())


def measure(options: argparse.Namespace, folder: Path) -> dict[str, object]:
    """All three ways, on the same machine in one go."""

    def request(name: str) -> Sweep:
        settings = {"steps": options.steps}
        return Sweep("digits", ["neat"], GRID, seeds=options.seeds, training=settings, runs=folder / name)

    threads = torch.get_num_threads()
    sequential = one_after_another(request("sequential"))
    parallel = swept(request("parallel"), options.workers, prune=False)
    halved = swept(request("pruned"), options.workers, prune=True)
    full, pruned = load_runs(folder / "parallel"), load_runs(folder / "pruned")
    return {
        "runs": len(full.runs),
        "threads": threads,
        "workers": options.workers,
        "sequential_s": sequential,
        "parallel_s": parallel,
        "ratio": parallel / sequential,
        "pruned_s": halved,
        "pruned_steps_ratio": steps_done(pruned) / steps_done(full),
        "winner": best(full),
        "pruned_winner": best(pruned),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(options, Path(folder))
    if options.json:
        print(json.dumps(found))
        return
    print(
        f"{found['runs']} runs: {found['sequential_s']:.0f} s one after another ({found['threads']} threads), "
        f"{found['parallel_s']:.0f} s on {found['workers']} workers: {found['ratio']:.2f}\n"
        f"pruned: {found['pruned_s']:.0f} s, {found['pruned_steps_ratio']:.2f} of the steps; "
        f"winner {found['winner']}, pruned {found['pruned_winner']}"
    )


if __name__ == "__main__":
    main()
