"""Runs for the replay's tests, and what a written file holds."""

import base64
import gzip
import re
from pathlib import Path
from typing import Any

import orjson

from neatlab.experiments.execute import execute
from neatlab.runs.run import Run
from neatlab.runs.store import Store
from tests.dashboard_runs import pair

EVIL = "</script><script>window.pwned = 1</script><img src=x onerror='window.pwned = 2'>"


def filmed(root: Path, seeds: int = 1, **settings: Any) -> list[Run]:
    """Two arms that take milliseconds, with their weights as the page stores them."""
    store, configs = Store(root), [config for seed in range(seeds) for config in pair(seed=seed, **settings)]
    for config in configs:
        list(execute(config, store, is_film=True))
    return [store.get(config.run_id) for config in configs]


def spoil(run: Run, **fields: Any) -> Run:
    """The run with other examples and answers in its events, as a stranger's folder may hold them."""
    path = run.path / "events.jsonl"
    lines = [orjson.loads(line) for line in path.read_bytes().splitlines()]
    examples = {"inputs": "text", "answers": "class", "shown": [EVIL, "b"], "true": [0, 1], "names": [EVIL, "red"]}
    given = {"values": [0, 0], "right": [1, 0], "probability": [0.9, 0.8], "margin": [0.8, 0.6], "confusion": []}
    changed = {"ExamplesChosen": {**examples, **fields}, "Predicted": given}
    path.write_bytes(b"".join(orjson.dumps({**line, **changed.get(line["type"], {})}) + b"\n" for line in lines))
    return Store(run.path.parent).get(run.run_id)


def opened(path: Path) -> dict[str, Any]:
    """The film in a file, its repeated parts in their places."""
    (packed,) = re.findall(r'<script id="film" type="text/plain">([^<]*)</script>', path.read_text(encoding="utf-8"))
    film = orjson.loads(gzip.decompress(base64.b64decode(packed)))
    whole: dict[str, Any] = put_back(film, film["parts"])
    return whole


def put_back(value: Any, parts: list[Any]) -> Any:
    """As the page does it."""
    if isinstance(value, dict):
        if "=" in value:
            return parts[value["="]]
        return {name: put_back(inner, parts) for name, inner in value.items()}
    return [put_back(inner, parts) for inner in value] if isinstance(value, list) else value
