"""A training of two steps alone, by DDP and by FSDP2: what every process of `torchrun` runs, and one process alone.

torchrun --nproc_per_node 2 tests/sharded.py FOLDER
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from neatlab.adapters.attach import quiet_peft, tuner_layers
from neatlab.adapters.neat import NeatConfig
from tests.models import MODELS

LLAMA = MODELS["llama"]
CONFIGS: dict[str, Any] = {
    "neat": NeatConfig(
        r=3, depth=4, activation="gelu", init_weights=False, orientation="auto", target_modules=LLAMA.targets
    ),
    "lora": LoraConfig(r=3, init_lora_weights=False, target_modules=LLAMA.targets),
}


def adapted(name: str) -> PeftModel:
    torch.manual_seed(0)
    with quiet_peft():
        return get_peft_model(LLAMA.build(), CONFIGS[name]).train()


def steps(model: nn.Module, rows: slice) -> dict[str, Tensor]:
    """What the model says of the whole batch before each of two steps, and the step's gradients in full."""
    optimiser = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.5)
    grads = {}
    for step in range(2):
        with torch.no_grad():
            grads[f"{step} logits"] = model(**LLAMA.batch).logits
        optimiser.zero_grad()
        model(**{name: tensor[rows] for name, tensor in LLAMA.batch.items()}).loss.backward()
        trained = [(name, p.grad) for name, p in model.named_parameters() if p.grad is not None]
        grads |= {f"{step} {name.removeprefix('module.')}": whole(grad.clone()) for name, grad in trained}
        optimiser.step()
    return grads


@torch.no_grad()
def whole(tensor: Tensor) -> Tensor:
    return (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).detach()


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: whole(tensor).clone() for name, tensor in model.state_dict().items()}


def outcome(model: PeftModel, wrapped: nn.Module, rows: slice) -> dict[str, dict[str, Tensor]]:
    """What is compared of a training: gradients, weights, ΔW, and the weights merged and unmerged."""
    grads = steps(wrapped, rows)
    with torch.no_grad():
        deltas = {name: whole(layer.get_delta_weight("default")) for name, layer in tuner_layers(model)}
        trained = weights(model)
        model.merge_adapter()
        merged = weights(model)
        model.unmerge_adapter()
        return {"grads": grads, "trained": trained, "deltas": deltas, "merged": merged, "unmerged": weights(model)}


def alone(name: str) -> dict[str, dict[str, Tensor]]:
    model = adapted(name)
    return outcome(model, model, slice(None))


def sharded(model: PeftModel) -> nn.Module:
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    for block in model.base_model.model.model.layers:
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)
    assert all(isinstance(parameter, DTensor) for parameter in model.parameters())
    return model


WRAPS: dict[str, Callable[[PeftModel], nn.Module]] = {"ddp": DistributedDataParallel, "fsdp2": sharded}


def main(folder: Path) -> None:
    dist.init_process_group("gloo")
    rank, share = dist.get_rank(), len(LLAMA.batch["input_ids"]) // dist.get_world_size()
    rows = slice(rank * share, (rank + 1) * share)
    for wrap in WRAPS:
        for name in CONFIGS:
            model = adapted(name)
            result = outcome(model, WRAPS[wrap](model), rows)
            if rank == 0:
                torch.save(result, folder / f"{wrap}-{name}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
