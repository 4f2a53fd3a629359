"""What a run learns from: its share of the training data, and the order in which it sees them."""

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor

from neatlab.tasks.base import Batch, Task, select, size
from neatlab.tasks.sequences import LABEL


def training_data(task: Task, share: float, seed: int) -> Batch:
    """The training examples of a run, in the task's order.

    Those of a smaller share are among those of a larger one, and every arm of a seed learns from the same.

    Args:
        task: The task.
        share: Share of its training examples.
        seed: The run's.

    Returns:
        At least one example; the whole split where the share is 1.
    """
    whole = task.split("train")
    if share == 1:
        return whole
    count = max(1, round(share * size(whole)))
    return select(whole, _drawn(whole, seed)[:count].sort().values)


def _drawn(whole: Batch, seed: int) -> Tensor:
    """All rows in the seed's order, in which each class comes at its own even pace: the k-th of n at (k − ½)/n."""
    order = torch.randperm(size(whole), generator=torch.Generator().manual_seed(seed))  # n
    labels = whole.get(LABEL)
    if labels is None or labels.ndim > 1 or labels.is_floating_point():
        return order
    is_class = labels[order, None] == labels.unique()  # n × classes
    pace = (is_class.cumsum(0) - 0.5) / is_class.sum(0)  # n × classes
    return order[pace[is_class].argsort(stable=True)]


def shuffled_batches(data: Batch, batch_size: int, seed: int, done: int = 0) -> Iterator[Batch]:
    """Epoch after epoch of shuffled batches after the first `done`, the last short one dropped unless it is alone."""
    generator, count = torch.Generator().manual_seed(seed), size(data)
    batch_size = min(batch_size, count)
    orders = (torch.randperm(count, generator=generator) for _ in itertools.count())  # n, one an epoch
    starts = range(0, count - batch_size + 1, batch_size)
    rows = (order[start : start + batch_size] for order in orders for start in starts)  # batch_size
    return (select(data, index) for index in itertools.islice(rows, done, None))
