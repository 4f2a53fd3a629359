"""What the Understand tab's process does: LoRA written as NEAT, on a task's own layers."""

import tempfile
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor

from neatlab.adapters.attach import target_layers, weight_of
from neatlab.adapters.convert import lora_to_neat
from neatlab.dashboard.shared.process import begin
from neatlab.dashboard.understand.request import ContainsOrder, Layer, Side
from neatlab.errors import NeatlabError

SEED = 0


def contains(order: ContainsOrder, root: str, pipe: "Connection[Any, Any]") -> None:
    """Draw a LoRA on every target layer and write it as NEAT, over either side.

    Args:
        order: Task and rank.
        root: Runs folder; not needed.
        pipe: Gives ("result", layers as plain values) or ("refused", "run", message).
    """
    begin()
    try:
        pipe.send(("result", [layer.model_dump() for layer in construct(order)]))
    except (NeatlabError, OSError) as error:
        pipe.send(("refused", "run", str(error)))


def construct(order: ContainsOrder) -> list[Layer]:
    """The construction on every target layer of the task's base model.

    Raises:
        BadInput: A layer smaller than 2r.
    """
    task = order.task.load()
    base = task.base_model()
    weights = {name: weight_of(layer).double() for name, layer in target_layers(base, task.targets).items()}
    torch.manual_seed(SEED)
    # init_lora_weights=False draws B too: PEFT's own start has ΔW = 0, which any construction would meet.
    config = LoraConfig(r=order.rank, lora_alpha=order.rank, target_modules=list(weights), init_lora_weights=False)
    model: Any = get_peft_model(base, config)
    out, inward = _errors(model, "out"), _errors(model, "in")
    return [
        Layer(name=name, out=_side(weight.T, out[name]), inward=_side(weight, inward[name]))
        for name, weight in weights.items()
    ]


def _errors(model: PeftModel, orientation: Literal["out", "in"]) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        return lora_to_neat(model, Path(folder) / "neat", orientation=orientation)


def _side(mapped: Tensor, error: float) -> Side:
    values = torch.linalg.svdvals(mapped)
    rank = int(torch.linalg.matrix_rank(mapped))
    smallest = float(values[-1])
    condition = float(values[0]) / smallest if smallest > 0 else None
    rows, columns = mapped.shape
    return Side(rows=rows, columns=columns, rank=rank, condition=condition, error=error)
