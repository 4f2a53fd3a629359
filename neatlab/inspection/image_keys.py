"""LoRA files of the image world: what Kohya, Diffusers and ComfyUI call a layer's tensors."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from neatlab.errors import BadInput, shown

ENDS = (  # of the keys of up (d_out × r) and down (r × d_in); what stands before them is the layer
    (".lora_up.weight", ".lora_down.weight"),  # Kohya, and ComfyUI with its own names of layers
    (".lora_B.weight", ".lora_A.weight"),  # Diffusers and ComfyUI
    (".lora_B.default.weight", ".lora_A.default.weight"),
    (".lora.up.weight", ".lora.down.weight"),  # Diffusers' U-Net
    ("_lora.up.weight", "_lora.down.weight"),  # the same in older files
    (".lora_linear_layer.up.weight", ".lora_linear_layer.down.weight"),  # Diffusers' text encoder
    (".lora_B", ".lora_A"),
)
MIDDLE, ALPHA = ".lora_mid.weight", ".alpha"
LYCORIS = re.compile(r"\.(hada|lokr|oft)_\w*$")
DORA = re.compile(r"dora_scale|lora_magnitude_vector")
STYLES = (("Kohya", ("lora_",)), ("ComfyUI", ("diffusion_model.", "model.diffusion_model.", "text_encoders.")))
MAX_KEY = 400  # characters


@dataclass(frozen=True)
class LayerKeys:
    """What the tensors of one layer are called in their file.

    Args:
        up: d_out × r, of a convolution d_out × r × 1 × 1.
        down: r × d_in, of a convolution r × d_in × k × k.
        middle: Of a convolution in Tucker form, r × r × k × k between an up and a down of 1 × 1; None without.
        alpha: α, whose scaling is α/r; None where the file holds none.
    """

    up: str
    down: str
    middle: str | None = None
    alpha: str | None = None

    def parts(self) -> dict[str, str]:
        """The parts that are there, by PEFT's name of each → its key."""
        named = {"lora_A.weight": self.down, "lora_B.weight": self.up, "lora_mid.weight": self.middle}
        return {part: key for part, key in {**named, "alpha": self.alpha}.items() if key is not None}


def is_image_lora(names: Iterable[str]) -> bool:
    """Whether keys are those of a LoRA file of the image world."""
    ends = tuple(end for pair in ENDS for end in pair)
    return any(name.endswith(ends) or LYCORIS.search(name) for name in names)


def style_of(layers: Iterable[str]) -> str:
    """Whose names the layers have, for people."""
    first = next(iter(layers), "")
    return next((style for style, starts in STYLES if first.startswith(starts)), "Diffusers")


def group_keys(names: Iterable[str]) -> tuple[dict[str, LayerKeys], dict[str, str]]:
    """Sort a file's keys into layers.

    Args:
        names: The keys.

    Returns:
        Layer → its keys, and what is not understood → why: a layer with further tensors, or a key of no layer.

    Raises:
        BadInput: A layer that is there under two styles, or a key that cannot be shown.
    """
    keys = sorted(names, key=natural)
    for key in keys:
        if len(key) > MAX_KEY or not key.isprintable():
            raise BadInput(f"the file has the key {shown(key)}; allowed: {MAX_KEY} printable characters")
    layers = _pairs(keys)
    used = {key for layer in layers.values() for key in layer.parts().values()}
    left_out: dict[str, str] = {}
    for key in keys:
        if key not in used:
            layer, reason = _reason(key, layers)
            left_out.setdefault(layer, reason)
    return {name: layer for name, layer in layers.items() if name not in left_out}, left_out


def natural(name: str) -> list[tuple[int, str]]:
    """Layer 10 after layer 9, whatever stands around the numbers."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d{1,9})", name)]


def _pairs(keys: list[str]) -> dict[str, LayerKeys]:
    layers: dict[str, LayerKeys] = {}
    there = set(keys)
    for up in keys:
        for up_end, down_end in ENDS:
            layer = up.removesuffix(up_end)
            if not up.endswith(up_end) or not layer or f"{layer}{down_end}" not in there:
                continue
            if layer in layers:
                raise BadInput(f"layer {shown(layer)} is there twice, as {shown(layers[layer].up)} and {shown(up)}")
            middle, alpha = (f"{layer}{end}" if f"{layer}{end}" in there else None for end in (MIDDLE, ALPHA))
            layers[layer] = LayerKeys(up, f"{layer}{down_end}", middle, alpha)
    return layers


def _reason(key: str, layers: Mapping[str, LayerKeys]) -> tuple[str, str]:
    """The layer that a key which is left over belongs to, or the key itself, and what it is."""
    parts = key.split(".")
    owners = [".".join(parts[:count]) for count in range(len(parts) - 1, 0, -1)]
    owner = next((name for name in owners if name in layers), None)
    if owner is not None:
        rest = key[len(owner) + 1 :]
        kind = "a DoRA, by its tensor" if DORA.search(rest) else "a layer whose ΔW is not known, for its tensor"
        return owner, f"{kind} {rest}; plain LoRA is understood here"
    if LYCORIS.search(key):
        return key, "a tensor of LyCORIS; plain LoRA is understood here"
    if key.endswith(tuple(end for pair in ENDS for end in pair)):
        return key, "half of a LoRA, whose other half the file does not hold"
    return key, "a key that is not understood"
