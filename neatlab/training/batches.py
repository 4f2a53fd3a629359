"""The order in which a run sees its training data."""

import itertools
from collections.abc import Iterator

import torch

from neatlab.tasks.base import Batch, select, size


def shuffled_batches(data: Batch, batch_size: int, seed: int, done: int = 0) -> Iterator[Batch]:
    """Epoch after epoch of shuffled batches after the first `done`, the last short one dropped unless it is alone."""
    generator, count = torch.Generator().manual_seed(seed), size(data)
    batch_size = min(batch_size, count)
    orders = (torch.randperm(count, generator=generator) for _ in itertools.count())  # n, one an epoch
    starts = range(0, count - batch_size + 1, batch_size)
    rows = (order[start : start + batch_size] for order in orders for start in starts)  # batch_size
    return (select(data, index) for index in itertools.islice(rows, done, None))
