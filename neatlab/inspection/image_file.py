"""A LoRA file of the image world, read and checked before anything is computed from it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from neatlab.adapters.factors import Factors
from neatlab.adapters.folders import PREFIX
from neatlab.errors import BadInput, shown
from neatlab.inspection.adapter_folder import CONFIG, check_finite, is_adapter
from neatlab.inspection.image_keys import LayerKeys, group_keys, is_image_lora, style_of
from neatlab.inspection.image_metadata import configured_scaling, read_settings
from neatlab.inspection.weights import check_precision, damaged, headers

MAX_NUMBERS = 2**28  # of a factor that a small file in Tucker form can ask for


@dataclass(frozen=True)
class ImageLora:
    """What a LoRA file holds.

    Args:
        file: The file.
        keys: Layer → what its tensors are called.
        parts: Layer → its tensors, by PEFT's name of each; "alpha" is α.
        left_out: What is not understood → why.
        metadata: What the file says beside its tensors.
        settings: What Diffusers wrote there of its scalings; {} without.
    """

    file: Path
    keys: dict[str, LayerKeys]
    parts: dict[str, dict[str, Tensor]]
    left_out: dict[str, str]
    metadata: Mapping[str, str]
    settings: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def style(self) -> str:
        """Whose names its layers have: "Kohya", "Diffusers" or "ComfyUI"."""
        return style_of(self.keys)

    def shape(self, layer: str) -> tuple[int, int]:
        """(d_out, d_in), of a convolution (d_out, d_in·k·k)."""
        return self.parts[layer]["lora_B.weight"].shape[0], math.prod(self.kernel(layer))

    def kernel(self, layer: str) -> tuple[int, ...]:
        """d_in, and of a convolution the sides of its kernel."""
        parts = self.parts[layer]
        sides = parts.get("lora_mid.weight", parts["lora_A.weight"]).shape[2:]
        return parts["lora_A.weight"].shape[1], *sides

    def rank(self, layer: str) -> int:
        """r: rows of down."""
        return self.parts[layer]["lora_A.weight"].shape[0]

    def scaling(self, layer: str) -> float:
        """α/r; what Diffusers wrote, or 1, where the file holds no α."""
        alpha = self.parts[layer].get("alpha")
        if alpha is None:
            return configured_scaling(self.settings, layer, self.rank(layer))
        return float(alpha) / self.rank(layer)

    def factors(self, layer: str) -> Factors:
        """ΔW = s·up down with the kernel flattened, as Kohya's merge has it.

        In Tucker form down is Σ_b mid[a, b, k, l] down[b, i].
        """
        parts = self.parts[layer]
        up, down, middle = parts["lora_B.weight"], parts["lora_A.weight"], parts.get("lora_mid.weight")
        dtype = torch.promote_types(torch.promote_types(up.dtype, down.dtype), torch.float32)
        right = down.to(dtype)
        if middle is not None:
            right = torch.einsum("ab...,bi->ai...", middle.to(dtype), right.flatten(1))
        return Factors(up.to(dtype).flatten(1) * self.scaling(layer), right.flatten(1))


def image_file(path: Path) -> Path | None:
    """The LoRA file of the image world that a path is, or that a folder without adapter_config.json holds.

    Raises:
        BadInput: Several of them, or one with PEFT's names, whose scaling stands in a file that is not there.
    """
    if path.is_dir():
        files = [] if is_adapter(path) else sorted(path.glob("*.safetensors"))
    else:
        files = [path] if path.suffix == ".safetensors" else []
    names = {file: list(headers(file)) for file in files}
    files = [file for file in files if is_image_lora(names[file])]
    if len(files) > 1:
        raise BadInput(f"{path} holds {len(files)} LoRA files, {files[0].name} and {files[1].name} first; give one")
    if files and any(name.startswith(PREFIX) for name in names[files[0]]):
        raise BadInput(
            f"{files[0].name} has PEFT's names, whose scaling {CONFIG} says; give the folder that holds both"
        )
    return files[0] if files else None


def read_image_lora(file: Path) -> ImageLora:
    """Read and check a LoRA file.

    Args:
        file: With keys as Kohya, Diffusers or ComfyUI writes them.

    Raises:
        BadInput: Damaged, no plain LoRA among its keys, shapes that do not fit each other, NaN, or an α that is none.
    """
    tensors, metadata = _read(file)
    keys, left_out = group_keys(tensors)
    parts = {layer: {part: tensors[key] for part, key in row.parts().items()} for layer, row in keys.items()}
    for layer, row in keys.items():
        _check(layer, row, parts[layer])
    for layer in [name for name, tensors in parts.items() if any(t.numel() == 0 for t in tensors.values())]:
        left_out[layer] = "of rank 0: its tensors are empty, so ΔW = 0"
        del keys[layer], parts[layer]
    if not keys:
        name, reason = next(iter(left_out.items()))
        raise BadInput(f"{file.name} holds no LoRA on a layer; {shown(name)} is {reason}")
    lora = ImageLora(file, keys, parts, left_out, metadata, read_settings(metadata))
    for layer in keys:
        if not math.isfinite(lora.scaling(layer)):
            raise BadInput(f"layer {shown(layer)}: its scaling is not finite")
    return lora


def _read(file: Path) -> tuple[dict[str, Tensor], Mapping[str, str]]:
    try:
        with safe_open(file, "pt") as opened:
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
            return tensors, opened.metadata() or {}
    except (SafetensorError, OSError, RuntimeError, ValueError) as error:
        raise damaged(file, error) from error


def _check(layer: str, keys: LayerKeys, parts: Mapping[str, Tensor]) -> None:
    alpha = parts.get("alpha")
    if alpha is not None and not _is_number(alpha):
        value = shown(alpha.item()) if alpha.numel() == 1 else f"{alpha.numel():,} numbers"
        raise BadInput(f"{shown(keys.alpha)} is {value}; α is one finite number")
    for part, key in keys.parts().items():
        if part != "alpha":
            check_precision(parts[part], key)
            check_finite({key: parts[part]})
    up, down, middle = parts["lora_B.weight"], parts["lora_A.weight"], parts.get("lora_mid.weight")
    if up.ndim < 2 or down.ndim < 2 or math.prod(up.shape[2:]) != 1:
        raise BadInput(f"layer {shown(layer)}: up is {_sides(up)} and down {_sides(down)}; up is d_out × r, down r × …")
    _check_ranks(layer, up, down, middle)


def _is_number(tensor: Tensor) -> bool:
    return tensor.numel() == 1 and not tensor.is_complex() and math.isfinite(float(tensor))


def _check_ranks(layer: str, up: Tensor, down: Tensor, middle: Tensor | None) -> None:
    if middle is None:
        if up.shape[1] != down.shape[0]:
            raise BadInput(f"layer {shown(layer)}: up is {_sides(up)} and down {_sides(down)}; their ranks differ")
        return
    if middle.ndim < 3 or middle.shape[:2] != (up.shape[1], down.shape[0]) or math.prod(down.shape[2:]) != 1:
        raise BadInput(
            f"layer {shown(layer)}: up, mid and down are {_sides(up)}, {_sides(middle)} and {_sides(down)}; "
            "in Tucker form mid is r × r × k × k between an up and a down of 1 × 1"
        )
    if (numbers := middle.shape[0] * down.shape[1] * math.prod(middle.shape[2:])) > MAX_NUMBERS:
        raise BadInput(f"layer {shown(layer)} asks for a factor of {numbers:,} numbers; allowed: {MAX_NUMBERS:,}")


def _sides(tensor: Tensor) -> str:
    return " × ".join(map(str, tensor.shape)) or "one number"
