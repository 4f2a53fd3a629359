"""What training processes of the tests do: entries for `Jobs.submit`."""

import os
import threading
from typing import Any

from neatlab.config import RunConfig
from neatlab.dashboard.shared.process import begin
from neatlab.dashboard.train.round_robin import PipeControl, round_robin
from neatlab.runs.store import Store


def train(configs: list[dict[str, Any]], root: str, pipe: Any) -> None:
    """Train these very runs."""
    begin()
    pipe.send(("runs", configs))
    for _ in round_robin([RunConfig.parse(config, "run") for config in configs], Store(root), PipeControl(pipe)):
        pass


def refuse(order: str, root: str, pipe: Any) -> None:
    """Refuse, as for an arm that does not fit."""
    pipe.send(("refused", "b", order))


def die(order: Any, root: str, pipe: Any) -> None:
    """End without a word."""
    os._exit(9)


def hang(order: Any, root: str, pipe: Any) -> None:
    """Hear nothing."""
    pipe.send(("runs", []))
    threading.Event().wait()
