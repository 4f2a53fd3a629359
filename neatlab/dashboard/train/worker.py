"""What a training process does; imported in it alone, or beforehand in the server that it is forked from."""

from collections.abc import Sequence
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from neatlab.config import RunConfig
from neatlab.dashboard.shared.choices import PARTS
from neatlab.dashboard.shared.field_error import FieldError
from neatlab.dashboard.shared.process import begin
from neatlab.dashboard.train.request import BaseProgress, Order
from neatlab.dashboard.train.round_robin import PipeControl, round_robin
from neatlab.errors import BadInput, NeatlabError
from neatlab.experiments.execute import check
from neatlab.runs.store import Store
from neatlab.runtime.progress import listening

REPORT_STEPS = 5  # of a base's training, between two reports


def train(order: Order, root: str, pipe: "Connection[Any, Any]") -> None:
    """Train an order's arms in turns.

    Args:
        order: The arms.
        root: Runs folder.
        pipe: Takes the commands of `round_robin.PipeControl`; gives ("result", BaseProgress) while a base is trained,
            ("runs", configurations) before the first step and ("refused", part, message) where there will be none.
    """
    begin()
    try:
        with listening(partial(_tell, pipe)):
            configs = _checked(order)
        pipe.send(("runs", [config.model_dump() for config in configs]))
        for _ in round_robin(configs, Store(root), PipeControl(pipe)):
            pass
    except FieldError as refusal:
        pipe.send(("refused", refusal.field, str(refusal)))
    except (NeatlabError, OSError) as error:
        pipe.send(("refused", "run", str(error)))


def _tell(pipe: "Connection[Any, Any]", what: str, done: int, total: int) -> None:
    if done % REPORT_STEPS == 0:
        pipe.send(("result", BaseProgress(what, done, total)))


def _checked(order: Order) -> list[RunConfig]:
    """The runs, each arm built once: one that does not fit is refused under its own name."""
    plain = order.runs()
    _build_each(plain)
    if order.match is None:
        return plain
    matched = order.plan().runs([order.seed])
    _build_each(matched)
    return matched


def _build_each(configs: Sequence[RunConfig]) -> None:
    for part, config in zip(PARTS, configs, strict=False):
        try:
            check([config])
        except BadInput as error:
            raise FieldError(part, str(error)) from error
