"""A LoRA file of the image world as a source of ΔW, and the weights of its base under the file's own names."""

import math
import os
from collections.abc import Iterable

from torch import Tensor

from neatlab.adapters.factors import Factors
from neatlab.errors import BadInput, shown
from neatlab.inspection.image_file import ImageLora
from neatlab.inspection.source import Layer, Source, check_delta, check_shape, check_weight
from neatlab.inspection.weights import Entry, Weights, read_tensor

HINT = "a base with the same names is needed, and of a pipeline the folder of one part, such as unet"
PARTS = (  # what stands before a layer's name in its own part of the pipeline
    *("lora_unet_", "lora_te_", "lora_te1_", "lora_te2_", "lora_te3_", "lora_transformer_"),
    *("model.diffusion_model.", "diffusion_model.", "unet.", "transformer.", "text_encoder."),
    *("text_encoder_2.", "text_encoder_3."),
)


class ImageSource(Source):
    """A LoRA file of the image world; of a convolution ΔW is d_out × d_in·k·k.

    Args:
        lora: The file's content.
        base: The base's weights; layers of a part that it does not hold, such as a text encoder, go without W₀.

    Attributes:
        shapes: Layer → (d_out, d_in).

    Raises:
        BadInput: The base holds none of the layers, some of a part only, or others than the file's sizes.
    """

    def __init__(self, lora: ImageLora, base: Weights | None) -> None:
        self.lora, self.weights = lora, base
        self.title, self.method, self.settings = lora.file.stem, "LORA", {"names": lora.style}
        self.trained_whole, self.left_out = [], lora.left_out
        self.base = None if base is None else os.fspath(base.path)
        self.layers = list(lora.keys)
        self.shapes = {name: lora.shape(name) for name in self.layers}
        self._entries = {} if base is None else _entries(self.layers, base)
        for name, entry in self._entries.items():
            check_shape(name, self.shapes[name], (entry.shape[0], math.prod(entry.shape[1:])), HINT)

    def read(self, layer: str) -> Layer:
        entry = self._entries.get(layer)
        key = None if entry is None else (entry.file, entry.tensor)
        return Layer(self.delta(layer), self.weight(layer), key, self.lora.rank(layer))

    def delta(self, layer: str) -> Factors:
        """ΔW of a layer."""
        factors = self.lora.factors(layer)
        check_delta(layer, factors)
        return factors

    def weight(self, layer: str) -> Tensor | None:
        """W₀ of a layer, d_out × d_in with the kernel flattened; None where the base does not hold it."""
        entry = self._entries.get(layer)
        if entry is None:
            return None
        weight = read_tensor(entry)
        check_weight(weight, entry)
        return weight.flatten(1)


def _entries(layers: Iterable[str], base: Weights) -> dict[str, Entry]:
    """Layer → its weight in the base, compared without the difference between "." and "_", which Kohya's names drop."""
    names = {_flat(name.removesuffix(".weight")): entry for name, entry in base.entries.items() if len(entry.shape) > 1}
    entries: dict[str, Entry] = {}
    missing: dict[str, list[str]] = {}
    for layer in layers:
        part, name = _split(layer)
        entry = _by_end(name, names)
        if entry is None:
            missing.setdefault(part, []).append(layer)
        else:
            entries[layer] = entry
    parts = {_split(layer)[0] for layer in entries}
    torn = [names[0] for part, names in missing.items() if part in parts or not entries]
    if torn:
        raise BadInput(f"adapter and base do not fit: layer {shown(torn[0])} is not in {base.path}; {HINT}")
    return entries


def _split(layer: str) -> tuple[str, str]:
    """A layer's part of the pipeline, and its name within."""
    part = next((part for part in PARTS if layer.startswith(part)), "")
    return part, _flat(layer.removeprefix(part).replace(".processor.", "."))


def _flat(name: str) -> str:
    return name.replace(".", "_")


def _by_end(name: str, names: dict[str, Entry]) -> Entry | None:
    """The one weight whose name is this up to leading parts; Diffusers' older names of the output lack its number."""
    for wanted in (name, f"{name}_0") if name.endswith("to_out") else (name,):
        if wanted in names:
            return names[wanted]
        close = [known for known in names if known.endswith(f"_{wanted}")]
        if len(close) == 1:
            return names[close[0]]
    return None
