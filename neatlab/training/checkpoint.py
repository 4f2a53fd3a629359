"""Where a run stands between two steps, as safetensors from which an interrupted one resumes.

Every step draws from its own seed and the batches' order follows from the run's, so that what trains, the
optimiser's state and the number of steps done are all it takes to resume bit by bit.
"""

import json
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from neatlab.runtime.environment import package_versions

FILE = "progress.safetensors"


@dataclass(frozen=True)
class TrainingState:
    """A run after a number of its steps.

    Args:
        step: Steps done.
        first_loss: Loss of the first step, by which divergence is detected.
        seconds: Time taken so far.
        tensors: Trained parameters, buffers and the optimiser's state.
        events: Bytes of the run's events that were written by then.
    """

    step: int
    first_loss: float
    seconds: float
    tensors: dict[str, Tensor]
    events: int = 0


def state_of(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """A copy of all that training changes."""
    return {name: tensor.detach().cpu().clone() for name, tensor in _changing(model, optimizer)}


def restore(state: TrainingState, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Put model and optimiser where `state` has them."""
    for index, parameter in enumerate(_parameters(optimizer)):
        prefix = f"optimizer.{index}."
        saved = {name.removeprefix(prefix): t.clone() for name, t in state.tensors.items() if name.startswith(prefix)}
        optimizer.state[parameter] = {
            name: tensor.to(parameter.device) if tensor.dim() else tensor for name, tensor in saved.items()
        }
    with torch.no_grad():
        for name, tensor in _changing(model, optimizer):
            if not name.startswith("optimizer."):
                tensor.copy_(state.tensors[name])


def _changing(model: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[tuple[str, Tensor]]:
    for name, buffer in model.named_buffers():
        yield f"buffer.{name}", buffer
    for index, parameter in enumerate(_parameters(optimizer)):
        yield f"parameter.{index}", parameter
        for name, value in optimizer.state[parameter].items():
            yield f"optimizer.{index}.{name}", value


def _parameters(optimizer: torch.optim.Optimizer) -> Sequence[nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def save(state: TrainingState, run: Path) -> None:
    """Write `state` into the run's directory; a crash meanwhile leaves the file that was written before."""
    header = {
        "step": state.step,
        "first_loss": state.first_loss,
        "seconds": state.seconds,
        "events": (run / "events.jsonl").stat().st_size,
        "packages": package_versions(),
    }
    temporary = run / f"{FILE}.part"
    save_file(state.tensors, temporary, {"progress": json.dumps(header)})
    temporary.replace(run / FILE)


def load(run: Path) -> TrainingState | None:
    """What `save` wrote; None where there is nothing, or nothing that this environment can resume from bit by bit."""
    if not (run / FILE).exists() or (run / "summary.json").exists():
        return None
    try:
        with safe_open(run / FILE, "pt") as file:
            header = json.loads(file.metadata()["progress"])
            if header.pop("packages") != package_versions() or (run / "events.jsonl").stat().st_size < header["events"]:
                return None
            return TrainingState(**header, tensors={name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        warnings.warn(f"{run / FILE} is damaged, and the run starts anew: {error}", stacklevel=2)
        return None
