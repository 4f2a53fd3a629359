"""Adapter folders in PEFT's form, and folders that appear whole or not at all."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from peft import PeftConfig, PeftModel, get_peft_model_state_dict
from peft.utils import SAFETENSORS_WEIGHTS_NAME
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from neatlab.adapters.attach import tuner_layers
from neatlab.errors import BadInput
from neatlab.runtime.files import PathLike

PREFIX = "base_model.model."
SHARED: tuple[str, ...] = (
    "task_type",
    "base_model_name_or_path",
    "revision",
    "modules_to_save",
    "trainable_token_indices",
)


@contextmanager
def whole_folder(folder: PathLike) -> Iterator[Path]:
    """Write into a folder next to `folder` that takes its name when the block ends without an error.

    Args:
        folder: A path that does not exist yet, or an empty folder.

    Yields:
        The folder to write into.

    Raises:
        BadInput: There is something at `folder`, or nothing can be written there.
    """
    target = Path(folder)
    _check_free(target)
    temporary = target.parent / f".{target.name}-{uuid4().hex}"
    try:
        temporary.mkdir(parents=True)
        yield temporary
        temporary.replace(target)  # an empty folder gives way
    except OSError as error:
        raise BadInput(f"{target} cannot be written: {error.strerror or error}; choose another folder") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _check_free(target: Path) -> None:
    if target.is_dir() and any(target.iterdir()):
        raise BadInput(f"{target} is not empty; give a folder that does not exist yet")
    if target.exists() and not target.is_dir():
        raise BadInput(f"{target} is a file; give a folder that does not exist yet")


def write_adapter(
    model: PeftModel, adapter: str, config: PeftConfig, state: dict[str, Tensor], layers: list[str], folder: PathLike
) -> None:
    """Write an adapter of another form in the place of one of the model's.

    What the model's adapter trained outside its layers, such as a classifier, and biases are taken over.

    Args:
        model: The PEFT model.
        adapter: Name of the adapter that is replaced.
        config: The new adapter's configuration; filled in with what it shares with the old one.
        state: Its tensors under the names that PEFT saves them by.
        layers: The layers of the base model that it is on.
        folder: Where it goes.

    Raises:
        BadInput: The folder is not free.
    """
    old: Any = model.peft_config[adapter]
    new: Any = config
    for name in SHARED:
        setattr(new, name, getattr(old, name, None))
    if (bias := getattr(old, "bias", "none")) != "none":
        new.bias = "all" if bias == "all" else f"{new.peft_type.value.lower()}_only"
    new.target_modules, new.inference_mode = _target_names(model, layers), True
    tensors = {**state, **_outside_layers(model, adapter)}
    with whole_folder(folder) as temporary:
        new.save_pretrained(temporary)
        save_tensors({key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}, temporary)


def save_tensors(
    tensors: dict[str, Tensor],
    folder: Path,
    name: str = SAFETENSORS_WEIGHTS_NAME,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write an adapter's tensors.

    Args:
        tensors: Name as PEFT saves it → tensor, contiguous and on the CPU.
        folder: Where its file goes.
        name: The file's name.
        metadata: What it says beside the tensors; PEFT's by default.

    Raises:
        OSError: It cannot be written, as where the disk is full.
    """
    try:
        save_file(tensors, folder / name, metadata={"format": "pt"} if metadata is None else dict(metadata))
    except SafetensorError as error:  # how safetensors reports that its writing failed
        raise OSError(str(error).splitlines()[0]) from error


def _outside_layers(model: PeftModel, adapter: str) -> dict[str, Tensor]:
    saved = get_peft_model_state_dict(model, adapter_name=adapter, save_embedding_layers=False)
    inside = tuple(f"{PREFIX}{name}." for name, _ in tuner_layers(model))
    return {key: value for key, value in saved.items() if key.endswith(".bias") or not key.startswith(inside)}


def _target_names(model: PeftModel, layers: list[str]) -> set[str]:
    """Last parts of the layers' names where these name no other module, else the whole names."""
    inside = tuple(f"{name}." for name in layers)
    names = [name for name, _ in model.get_base_model().named_modules() if not name.startswith(inside)]
    short = {name.split(".")[-1] for name in layers}
    return short if {name for name in names if name.split(".")[-1] in short} == set(layers) else set(layers)
