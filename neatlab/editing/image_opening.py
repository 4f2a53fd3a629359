"""Open a LoRA file of the image world for acts."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import torch

from neatlab.editing.state import Editable, Origin, Update
from neatlab.inspection.image_file import ImageLora, read_image_lora
from neatlab.inspection.image_metadata import SETTINGS
from neatlab.inspection.image_names import image_names
from neatlab.inspection.image_source import ImageSource
from neatlab.inspection.weights import Weights


def open_image(file: Path, base: Weights | None, open_other: Callable[[str], Editable]) -> Editable:
    """A LoRA file, checked and ready for acts; its result is a file in the same style.

    Args:
        file: As Kohya, Diffusers or ComfyUI writes it.
        base: The weights that it was trained on; some acts need them.
        open_other: Opens another on the same base.

    Raises:
        BadInput: What `read_image_lora` refuses, or a base that does not fit.
    """
    lora = read_image_lora(file)
    source = ImageSource(lora, base)
    delta = lru_cache(maxsize=1)(source.delta)
    counts = {name: sum(tensor.numel() for tensor in parts.values()) for name, parts in lora.parts.items()}
    return Editable(
        origin=Origin(lora.file.stem, lora.file, None, "LORA", lora.file.stat().st_size, counts),
        settings={"peft_type": "LORA"},
        shapes=source.shapes,
        all_shapes=source.shapes,
        read=lambda name: Update(delta(name), None, lora.parts[name]),
        reference=delta,
        base_weight=source.weight,
        whole={},
        shared={},
        unsupported=lora.left_out,
        dtype=_dtype(lora),
        thin=True,
        keeps_type=SETTINGS not in lora.metadata,  # scalings that stand there are written into the tensors
        open=open_other,
        image=image_names(lora),
    )


def _dtype(lora: ImageLora) -> torch.dtype:
    """The widest of its factors."""
    widest: torch.dtype | None = None
    for parts in lora.parts.values():
        for name in ("lora_A.weight", "lora_B.weight"):
            dtype = parts[name].dtype
            widest = dtype if widest is None else torch.promote_types(widest, dtype)
    return widest or torch.float32
