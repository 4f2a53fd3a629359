"""Runs that take milliseconds, for the dashboard's tests."""

from pathlib import Path
from typing import Any

import orjson

from neatlab.config import RunConfig, make_arm, make_run
from neatlab.experiments.execute import execute
from neatlab.runs.run import Run
from neatlab.runs.store import Store

SMALL = {"d_in": 16, "d_out": 8, "samples": 64}


def tiny(method: str, steps: int = 6, seed: int = 0, **training: Any) -> RunConfig:
    """A run that takes milliseconds: a small linear teacher."""
    settings = {"steps": steps, "eval_every": 3, "spectrum_every": 3, **training}
    return make_run("teacher", make_arm(method, {"rank": 2}), seed, SMALL, settings)


def pair(**settings: Any) -> tuple[RunConfig, RunConfig]:
    return tiny("lora", **settings), tiny("neat", **settings)


def trained(store: Store, *configs: RunConfig) -> list[Run]:
    for config in configs:
        list(execute(config, store))
    return [store.get(config.run_id) for config in configs]


def four_runs(root: Path) -> Store:
    """Two arms on two seeds."""
    store = Store(root)
    trained(store, *(tiny(method, seed=seed) for method in ("lora", "neat") for seed in (0, 1)))
    return store


def stored_steps(store: Store, config: RunConfig) -> int:
    lines = (store.root / config.run_id / "events.jsonl").read_bytes().splitlines()
    return sum(orjson.loads(line)["type"] == "Step" for line in lines)
