"""The curvature that a run starts from."""

import itertools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

from torch import Tensor, nn

from neatlab.adapters.attach import Adapted
from neatlab.analysis.sharpness import Curvature, suggested_rate
from neatlab.config import TrainingConfig
from neatlab.tasks.base import Batch, Task, to_device
from neatlab.training.batches import shuffled_batches, training_data

BATCHES = 2
MAX_PARAMETERS = 5_000_000  # Lanczos' iteration holds some twenty vectors of them


class Start(NamedTuple):
    """What is known of the curvature at a run's start; None for what was not measured or is not a number.

    Args:
        sharpness: The largest eigenvalue of the Hessian.
        suggested_lr: The learning rate that the curvature suggests.
    """

    sharpness: float | None = None
    suggested_lr: float | None = None


def measured_start(adapted: Adapted, task: Task, config: TrainingConfig, seed: int) -> Start:
    """The curvature that a run starts from.

    Not measured where memory is short (micro-batches, checkpointing), where too much trains, and on layers that
    cannot be differentiated twice.
    """
    count = sum(p.numel() for p in adapted.adapter_parameters())
    if not 0 < count <= MAX_PARAMETERS or config.accumulate > 1 or config.gradient_checkpointing:
        return Start()
    try:
        sharpness = curvature(adapted, task, config, seed).sharpness()
    except RuntimeError:  # NotImplementedError is one: a kernel without a second derivative, or out of memory
        return Start()
    return Start(*(value if math.isfinite(value) else None for value in (sharpness, suggested_rate(sharpness))))


def curvature(adapted: Adapted, task: Task, config: TrainingConfig, seed: int) -> Curvature:
    """The training loss's Hessian over the adapter's parameters, the head's apart, on the run's first batches.

    Args:
        adapted: The model, as it is now; dropout is off.
        task: Data and loss.
        config: The batch's size.
        seed: Seed of the data order.

    Returns:
        The Hessian, in the parameters' own precision.
    """
    data = training_data(task, config.train_size, seed)
    first = itertools.islice(shuffled_batches(data, config.batch_size, seed), BATCHES)
    losses = [partial(_loss, adapted, task, batch) for batch in first]
    with _evaluating(adapted.model):
        return Curvature(losses, adapted.adapter_parameters(), seed)


def _loss(adapted: Adapted, task: Task, batch: Batch) -> Tensor:
    return task.loss(adapted.model, to_device(batch, adapted.model))


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)
