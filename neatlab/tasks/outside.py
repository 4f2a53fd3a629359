"""What readers of runs ask of a task, for a training outside neatlab; no row of TASKS, for nobody can load it."""

from collections.abc import Mapping
from typing import Any, ClassVar

from neatlab.schema import Schema
from neatlab.tasks.base import Task
from neatlab.tasks.metrics import Metric

LOSS = Metric("loss", "as the training gives it", False)


class Outside(Task):
    """Model, data and loss are the training's own, which neatlab has not."""

    title: ClassVar[str] = "a training outside neatlab"
    metric: ClassVar[Metric] = LOSS
    targets: ClassVar[list[str]] = []
    head: ClassVar[list[str]] = []
    training: ClassVar[dict[str, Any]] = {}
    options: ClassVar[type[Schema]] = Schema
    choices: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
