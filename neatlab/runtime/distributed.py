"""Training on several processes: the same program in each, started by `accelerate launch` or `torchrun`.

Every process makes the same model and draws the same batches, works through its shard of each batch's rows and adds
its gradients to the others', so that all take the same step; each evaluates too, rather than wait for the main one.
What a disk or a caller answers is asked by the main process alone. Without a launcher nothing here does anything, and
accelerate is not imported.
"""

import atexit
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from neatlab.errors import BadInput, NeatlabError
from neatlab.runtime.lazy import lazy

if TYPE_CHECKING:
    from torch import Tensor, nn

accelerate, torch = lazy("accelerate"), lazy("torch")

MAIN_TIMEOUT_SECONDS = 30.0  # seconds that the others leave the main process to say why it ends
Answer = TypeVar("Answer")


def world_size() -> int:
    """How many processes train together; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", 1)) if "LOCAL_RANK" in os.environ else 1


def rank() -> int:
    """The number of this process, from 0."""
    return int(os.environ["RANK"]) if world_size() > 1 else 0


def is_main() -> bool:
    """Whether this is the process that writes and speaks."""
    return rank() == 0


def local_gpu() -> str:
    """The GPU that this process trains on; torch sees at least one of them.

    Raises:
        BadInput: More processes on this machine than GPUs.
    """
    if world_size() == 1:
        return "cuda"
    here, gpus = int(os.environ["LOCAL_WORLD_SIZE"]), torch.cuda.device_count()
    if here > gpus:
        raise BadInput(f"{here} processes on a machine with {gpus} GPU(s); start at most {gpus}, or give device=cpu")
    return str(_group().device)


def require_single_process(what: str) -> None:
    """Refuse what each of several processes would do whole.

    Raises:
        BadInput: There are several.
    """
    if world_size() > 1:
        raise BadInput(
            f"{what} on {world_size()} processes; compare alone shares its work, start {what} without a launcher"
        )


def check_rows(rows: int) -> None:
    """Refuse a batch of which some process would get nothing.

    Raises:
        BadInput: Fewer rows than processes.
    """
    if rows < world_size():
        raise BadInput(
            f"{world_size()} processes for batches of {rows} rows; start at most {rows}, or give larger batches"
        )


def shard(batch: "dict[str, Tensor]") -> "dict[str, Tensor]":
    """This process's rows of a batch: the shards differ by one row at most, and the main process has the longest."""
    if world_size() == 1:
        return batch
    return {name: column.tensor_split(world_size())[rank()] for name, column in batch.items()}


def all_reduce_gradients(loss: float, parameters: "Iterable[nn.Parameter]") -> float:
    """Make every gradient the sum of the processes' gradients; returns the sum of their losses.

    All goes in one flat message, since an adapter is thin. DistributedDataParallel would not fit: it takes the plain
    mean over processes, where a shard counts by the terms of its loss, and it sees only forward passes through its
    own wrapper, where a task's loss calls PEFT's model by its name.

    Args:
        loss: This process's part of the loss.
        parameters: The model's; those that do not train are left alone.
    """
    if world_size() == 1:
        return loss
    _group()
    trained = [p for p in parameters if p.requires_grad]
    header = torch.tensor([loss, *(p.grad is not None for p in trained)], device=trained[0].device)  # 1 + parameters
    gradients = [(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in trained]
    flat = torch.cat([header, *gradients])
    torch.distributed.all_reduce(flat)
    header, *sums = flat.split([len(header), *(len(gradient) for gradient in gradients)])
    total, *contributions = header.tolist()  # processes that hold a gradient of each parameter
    for parameter, gradient, contributing in zip(trained, sums, contributions, strict=True):
        # What no process's rows have reached (an expert of a mixture) keeps no gradient: the optimiser passes it by.
        parameter.grad = gradient.view_as(parameter).to(parameter.dtype) if contributing else None
    return float(total)


def broadcast_from_main(function: Callable[..., Answer], *arguments: Any) -> Answer:
    """What `function(*arguments)` returns or raises in the main process, in every process; the others do not call it.

    Every process has to come here, and `function` may not come here itself.
    """
    if world_size() == 1:
        return function(*arguments)
    _group()
    message = [_outcome(function, arguments) if is_main() else None]
    torch.distributed.broadcast_object_list(message)
    (outcome,) = message
    if isinstance(outcome, NeatlabError):
        raise outcome
    return outcome  # type: ignore[return-value]  # what the main process sent


def _outcome(function: Callable[..., Answer], arguments: tuple[Any, ...]) -> Answer | NeatlabError:
    try:
        return function(*arguments)
    except NeatlabError as error:
        return error


@cache
def _group() -> Any:
    """Join the other processes: gloo carries what lies in main memory, nccl what lies on GPUs."""
    gpu = torch.cuda.is_available()
    state = accelerate.PartialState(cpu=not gpu, backend="cpu:gloo,cuda:nccl" if gpu else None)
    atexit.register(state.destroy_process_group)
    return state


@contextmanager
def silence_workers() -> Iterator[None]:
    """Drop what the other processes print meanwhile; what they raise goes on its way."""
    if is_main():
        yield
        return
    with open(os.devnull, "w") as null, redirect_stdout(null), redirect_stderr(null):
        yield


def wait_for_main() -> None:
    """Before a process says why it ends: mostly the main one is about to say the same, and a launcher then ends all."""
    if not is_main():
        time.sleep(MAIN_TIMEOUT_SECONDS)
