"""The curvature that a run starts from."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from torch import Tensor, nn

from neatlab.adapters.attach import Adapted
from neatlab.analysis.sharpness import Curvature
from neatlab.config import TrainingConfig
from neatlab.tasks.base import Batch, Task, to_device
from neatlab.training.batches import shuffled_batches

BATCHES = 2


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
    first = itertools.islice(shuffled_batches(task.split("train"), config.batch_size, seed), BATCHES)
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
