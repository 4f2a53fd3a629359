"""Adapters of every type on one small base, as if trained, and their ΔW as PEFT makes it."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import torch
from peft import PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from neatlab import NeatConfig
from neatlab.adapters.attach import quiet_peft

CONFIG, TENSORS = "adapter_config.json", "adapter_model.safetensors"
SQUARE, TALL, WIDE = "blocks.0.q", "blocks.0.up", "blocks.1.down"
SHAPES = {SQUARE: (12, 12), TALL: (20, 12), WIDE: (12, 20)}
TARGETS = ["q", "up", "down"]


def base_model() -> nn.Module:
    """A square, a tall and a wide layer."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        blocks = nn.ModuleList([nn.ModuleDict({"q": nn.Linear(12, 12), "up": nn.Linear(12, 20)}), nn.ModuleDict()])
        blocks[1]["down"] = nn.Linear(20, 12)  # type: ignore[index]
        model = nn.Module()
        model.blocks = blocks
    return model


def write_base(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    save_file(base_model().state_dict(), folder / "model.safetensors")
    return folder


def _lora(**settings: Any) -> Callable[[], Any]:
    return lambda: peft.LoraConfig(r=4, lora_alpha=6, target_modules=TARGETS, **settings)


TYPES: dict[str, Callable[[], Any]] = {
    "lora": _lora(),
    "patterns": _lora(rank_pattern={"up": 3}, alpha_pattern={"up": 2}),
    "rslora": _lora(use_rslora=True),
    "dora": _lora(use_dora=True),
    "pissa": _lora(init_lora_weights="pissa"),
    "neat": lambda: NeatConfig(r=4, target_modules=TARGETS, scaling=1.5),
    "peanut": lambda: peft.PeanutConfig(r=4, target_modules=TARGETS),
    "vera": lambda: peft.VeraConfig(r=6, target_modules=["q", "up"]),
    "loha": lambda: peft.LoHaConfig(r=2, alpha=3, target_modules=TARGETS),
    "hira": lambda: peft.HiraConfig(r=3, target_modules=TARGETS),
    "miss": lambda: peft.MissConfig(r=4, target_modules=["q", "up"]),
    "gralora": lambda: peft.GraloraConfig(r=4, alpha=6, gralora_k=2, target_modules=TARGETS),
    "fourierft": lambda: peft.FourierFTConfig(n_frequency=30, target_modules=TARGETS),
    "ia3": lambda: peft.IA3Config(target_modules=TARGETS, feedforward_modules=[]),
    "oft": lambda: peft.OFTConfig(oft_block_size=4, target_modules=TARGETS),
    "lokr": lambda: peft.LoKrConfig(r=2, alpha=3, target_modules=TARGETS),
}
THIN = ("lora", "patterns", "rslora", "pissa", "neat", "peanut", "vera", "miss", "gralora")  # ΔW has thin factors
DENSE = ("loha", "lokr", "hira", "fourierft", "ia3", "oft")
LAYERS = {"vera": [SQUARE, TALL], "miss": [SQUARE, TALL]}


def draw(model: nn.Module, seed: int) -> None:
    """Adapter weights as if trained; frozen ones, such as VeRA's, stay."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            if parameter.requires_grad and "magnitude" in name:
                parameter.mul_(1 + 0.2 * torch.rand(parameter.shape, generator=generator))
            elif parameter.requires_grad:
                parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator))


def write_adapter(folder: Path, kind: str = "lora", seed: int = 1) -> Path:
    """An adapter of TYPES, saved by PEFT."""
    with quiet_peft():
        model = get_peft_model(copy.deepcopy(base_model()), TYPES[kind]())
    draw(model, seed)
    if kind == "pissa":  # what trains are the factors of W₀: they move a little
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                with torch.no_grad():
                    parameter.copy_(parameter * 0.2 + 0.3)
    model.save_pretrained(str(folder))
    return folder


def deltas(folder: Path) -> dict[str, Tensor]:
    """ΔW of every layer of the base as PEFT merges it in float64; 0 where the adapter is not."""
    pissa = json.loads((folder / CONFIG).read_text()).get("init_lora_weights") == "pissa"  # PEFT makes it in float32
    with quiet_peft():
        model = PeftModel.from_pretrained(base_model() if pissa else base_model().double(), str(folder))
        after = model.double().merge_and_unload().state_dict()
    before = base_model().double().state_dict()
    return {name: after[f"{name}.weight"] - before[f"{name}.weight"] for name in SHAPES}


def weights() -> dict[str, Tensor]:
    state = base_model().double().state_dict()
    return {name: state[f"{name}.weight"] for name in SHAPES}


def change(folder: Path, work: Callable[[str, Tensor], Tensor | None]) -> None:
    changed = {name: work(name, tensor) for name, tensor in load_file(folder / TENSORS).items()}
    save_file({name: tensor for name, tensor in changed.items() if tensor is not None}, folder / TENSORS)


def configure(folder: Path, **settings: Any) -> None:
    stored = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps(stored | settings))
