"""Exact counts of what a layer costs: bytes kept for the backward pass, peak memory, and the largest tensor made."""

import itertools
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


def saved_bytes(forward: Callable[[], Tensor], given: Iterable[Tensor] = ()) -> int:
    """Bytes that `forward` keeps for its backward pass, each storage counted once.

    Args:
        forward: Runs the forward pass and returns its output.
        given: Tensors that exist anyway (inputs and parameters) and so do not count.

    Returns:
        Bytes, exact and without a clock.
    """
    known = {_storage(tensor) for tensor in given}
    sizes: dict[int, int] = {}
    alive: list[Tensor] = []  # a freed storage's address could be given out again

    def pack(tensor: Tensor) -> Tensor:
        alive.append(tensor)
        if _storage(tensor) not in known:
            sizes[_storage(tensor)] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        forward()
    return sum(sizes.values())


def peak_bytes(work: Callable[[], Any], device: str = "cpu") -> int:
    """The most that `work` holds at once of what it allocates itself, in bytes.

    Args:
        work: Runs once.
        device: "cpu", where every allocation is counted, or "cuda", where torch's allocator is asked.
    """
    if device == "cuda":
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        work()
        return torch.cuda.max_memory_allocated() - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        work()
    events: Any = profiler.profiler.kineto_results.events()
    allocations = sorted((e for e in events if e.name() == "[memory]"), key=lambda event: event.start_ns())
    return max(0, *itertools.accumulate(event.nbytes() for event in allocations))


def largest_temporary(work: Callable[[], Any]) -> int:
    """Elements of the largest tensor that any operation in `work` makes; views and in-place results do not count."""
    with _Watch() as watch:
        work()
    return watch.largest


class _Watch(TorchDispatchMode):
    largest = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        before = {_storage(t) for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        made = [t.numel() for t in tree_leaves(result) if isinstance(t, Tensor) and _storage(t) not in before]
        self.largest = max([self.largest, *made])
        return result


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
