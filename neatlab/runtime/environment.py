"""What a run's result depends on beside its configuration: package versions, and the device it trains on."""

import platform
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neatlab import __version__
from neatlab.errors import BadInput
from neatlab.runtime import distributed
from neatlab.runtime.versions import installed_versions, misfits

if TYPE_CHECKING:
    import torch

PACKAGES = ("torch", "transformers", "peft", "scikit-learn", "numpy")


def package_versions() -> dict[str, str]:
    """Version of each package that a run's result depends on."""
    return {"neatlab": __version__, **{name: version(name) for name in PACKAGES}}


def pick_device(name: str) -> str:
    """The device that `name` stands for; "auto" is the first CUDA GPU where there is one, else the CPU.

    Of several processes each gets a GPU of its own. Another name, such as "cuda:1", is where something lies already.

    Raises:
        BadInput: "cuda" where torch sees no GPU, or fewer GPUs than processes.
    """
    import torch

    if name not in ("auto", "cpu", "cuda"):
        return name
    if name == "cuda" and not torch.cuda.is_available():
        raise BadInput("training: device='cuda', but torch sees no GPU here; allowed: auto, cpu")
    return distributed.local_gpu() if name != "cpu" and torch.cuda.is_available() else "cpu"


def keep_random_state(device: "str | torch.device") -> AbstractContextManager[None]:
    """Put torch's random state back afterwards: the CPU's and `device`'s; no other GPU is woken."""
    import torch

    return torch.random.fork_rng([] if torch.device(device).type == "cpu" else [device])


def seed_random(device: "str | torch.device", seed: int) -> None:
    """Seed torch's random numbers, the CPU's and `device`'s.

    `torch.manual_seed` writes down a stack trace for each kind of device that is not here: too slow for every step.
    """
    import torch

    torch.default_generator.manual_seed(seed)
    if (kind := torch.device(device).type) != "cpu":
        with torch.get_device_module(kind).device(device):
            torch.get_device_module(kind).manual_seed(seed)


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
        "processes": distributed.world_size(),
    }


def report(runs: str | Path) -> str:
    """What stands below neatlab here, a line each: versions, device, folders, and what does not fit.

    Args:
        runs: The runs folder that would be used.
    """
    import torch

    from neatlab.runtime.cache import cache_folder

    lines = {
        "neatlab": __version__,
        "python": f"{platform.python_version()} on {platform.platform()}",
        **installed_versions(),
        "device": f"{pick_device('auto')}, {torch.get_num_threads()} threads",
        "cache folder": cache_folder(),
        "runs folder": Path(runs).absolute(),
    }
    return "\n".join([*(f"{name} {value}" for name, value in lines.items()), *(f"warning: {m}" for m in misfits())])
