"""The ViT that read upright digits as a model folder: what images are adapted on where no other model is at hand."""

import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from neatlab.runtime.cache import cache_folder
from neatlab.runtime.distributed import broadcast_from_main
from neatlab.tasks.digits import Digits, DigitsOptions


def small_vit_folder() -> Path:
    """Its folder, made on first use in the cache; 8 × 8 pixels of grey, without the classifier of digits."""
    return broadcast_from_main(_folder)


def _folder() -> Path:
    folder = cache_folder() / "digits-vit"
    if not (folder / "config.json").exists():
        model = Digits(DigitsOptions()).base_model()
        encoder: Any = model.get_submodule("vit")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as parent, suppress(OSError):  # another was first
            made = Path(parent) / folder.name
            encoder.config.save_pretrained(made)
            save_file(encoder.state_dict(), made / "model.safetensors", {"format": "pt"})
            made.rename(folder)
    return folder
