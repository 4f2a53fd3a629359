"""What a run's result depends on beside its configuration: package versions, and the device it trains on."""

import platform
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from neatlab.errors import BadInput

PACKAGES = ("neatlab", "torch", "transformers", "peft", "scikit-learn", "numpy")


def package_versions() -> dict[str, str]:
    """Version of each package that a run's result depends on."""
    return {name: version(name) for name in PACKAGES}


def pick_device(name: str) -> str:
    """The device that `name` stands for; "auto" is the first CUDA GPU where there is one, else the CPU.

    Raises:
        BadInput: "cuda" where torch sees no GPU.
    """
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        raise BadInput("training: device='cuda', but torch sees no GPU here; allowed: auto, cpu")
    return "cuda" if name != "cpu" and torch.cuda.is_available() else "cpu"


def environment(device: str = "auto") -> dict[str, Any]:
    """Package versions, Python, platform, device and the time now."""
    import torch

    return {
        "created": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "packages": package_versions(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": pick_device(device),
        "threads": torch.get_num_threads(),
    }
