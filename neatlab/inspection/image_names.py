"""What a LoRA file of the image world is written back as: its own keys, convolutions, α and metadata."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from neatlab.adapters.folders import save_tensors
from neatlab.errors import BadInput
from neatlab.inspection.image_file import ImageLora
from neatlab.inspection.image_keys import LayerKeys
from neatlab.inspection.image_metadata import SETTINGS

HASHES = ("sshs_model_hash", "sshs_legacy_hash")  # Kohya's, of the tensors before
RANK, ALPHA, SEVERAL = "ss_network_dim", "ss_network_alpha", "Dynamic"  # Kohya's, and its word for more than one


@dataclass(frozen=True)
class ImageNames:
    """How a LoRA file calls and shapes its layers' tensors.

    Args:
        file: The file's name.
        metadata: What it says beside its tensors.
        keys: Layer → its keys.
        kernels: Layer → d_in, and of a convolution the sides of its kernel.
        scalings: Layer → s = α/r.
        alphas: Layer → α as the file has it; none where it has none.
    """

    file: str
    metadata: Mapping[str, str]
    keys: Mapping[str, LayerKeys]
    kernels: Mapping[str, tuple[int, ...]]
    scalings: Mapping[str, float]
    alphas: Mapping[str, Tensor]

    def name_parts(self, layer: str, parts: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A layer's tensors under its keys."""
        keys = self.keys[layer].parts()
        return {keys[part]: tensor for part, tensor in parts.items()}

    def shape_parts(self, layer: str, left: Tensor, right: Tensor) -> dict[str, Tensor]:
        """Factors of a new rank as the file holds a layer's, with the α that goes with them.

        Args:
            layer: The layer.
            left: ΔW's left factor over `scaling`, d_out × r.
            right: Its right factor, r × d_in·k·k.
        """
        kernel = self.kernels[layer]
        up = left.view(*left.shape, *[1] * (len(kernel) - 1))
        parts = {"lora_A.weight": right.view(len(right), *kernel), "lora_B.weight": up}
        return parts | ({"alpha": self._alpha(layer, len(right))} if layer in self.alphas else {})

    def scaling(self, layer: str, rank: int) -> float:
        """s at another rank: as it was, up to the rounding of the α that is written; 1 where there is none."""
        return float(self._alpha(layer, rank)) / rank if layer in self.alphas else 1.0

    def join(self, other: "ImageNames") -> "ImageNames":
        """The names of two files' layers, its own first.

        Raises:
            BadInput: A layer is a convolution in one and none, or another, in the other.
        """
        for layer, kernel in other.kernels.items():
            if self.kernels.get(layer, kernel) != kernel:
                raise BadInput(
                    f"layer {layer} has the kernel {kernel} in one file and {self.kernels[layer]} in another"
                )
        return replace(
            self,
            keys={**other.keys, **self.keys},
            kernels={**other.kernels, **self.kernels},
            scalings={**other.scalings, **self.scalings},
            alphas={**{name: alpha for name, alpha in other.alphas.items() if name not in self.keys}, **self.alphas},
        )

    def save(self, tensors: Mapping[str, Tensor], ranks: Mapping[str, int], folder: Path) -> None:
        """Write the file; Kohya's note of the rank follows, and its hashes and Diffusers' note of scalings go.

        Args:
            tensors: By their keys.
            ranks: Layer → r, where layers were written anew; {} where tensors stay as they were.
            folder: Where it goes.
        """
        metadata = {name: text for name, text in self.metadata.items() if name not in HASHES}
        if ranks:
            metadata.pop(SETTINGS, None)
            alphas = {layer: f"{self.scaling(layer, rank) * rank:g}" for layer, rank in ranks.items()}
            for name, values in ((RANK, Counter(map(str, ranks.values()))), (ALPHA, Counter(alphas.values()))):
                if name in metadata:
                    metadata[name] = next(iter(values)) if len(values) == 1 else SEVERAL
        save_tensors(dict(tensors), folder, self.file, metadata)

    def _alpha(self, layer: str, rank: int) -> Tensor:
        """α = s·r in the file's precision where that holds it, of a layer with s = 0 α = r."""
        before, alpha = self.alphas[layer], (self.scalings[layer] or 1.0) * rank
        stored = torch.full_like(before, alpha) if before.is_floating_point() else torch.full(before.shape, alpha)
        return stored if float(stored) == alpha else torch.full(before.shape, alpha)


def image_names(lora: ImageLora) -> ImageNames:
    """How the layers of a file are called."""
    return ImageNames(
        lora.file.name,
        lora.metadata,
        lora.keys,
        {layer: lora.kernel(layer) for layer in lora.keys},
        {layer: lora.scaling(layer) for layer in lora.keys},
        {layer: parts["alpha"] for layer, parts in lora.parts.items() if "alpha" in parts},
    )
