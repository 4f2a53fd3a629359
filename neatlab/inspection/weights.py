"""Checkpoints as folders of safetensors, read lazily: shapes from the headers, a weight when it is asked for."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson
from safetensors import SafetensorError, safe_open
from torch import Tensor

from neatlab.errors import BadInput
from neatlab.runtime.files import PathLike, is_pickle

INDEX = "model.safetensors.index.json"
SINGLE = ("model.safetensors", "trained.safetensors")
CONV1D = ("decision_transformer", "gpt2", "imagegpt", "openai-gpt")  # models with linear weights as d_in × d_out,
CONV1D_LAYERS = ("c_attn", "q_attn", "c_proj", "c_fc")  # in these layers of theirs alone
HEADS = ("lm_head", "embed_out")
EMBEDDINGS = ("embed_tokens", "wte", "shared", "embed_in", "tokens_embed", "word_embeddings")  # that a head is tied to
MAX_JSON_BYTES = 2**24  # bytes


@dataclass(frozen=True)
class Entry:
    """Where one tensor lies.

    Args:
        file: Its file.
        tensor: Its name there.
        shape: Its shape.
    """

    file: Path
    tensor: str
    shape: tuple[int, ...]


class Weights:
    """The linear weights of a checkpoint, under the names of their layers.

    Nothing but headers is read here, and a file stays open no longer than it takes to read one tensor: what a
    memory map has touched would count as memory used.

    Args:
        path: A folder as transformers writes it, one safetensors file, or the name of a model in the local hub cache.

    Raises:
        BadInput: Nothing there, or nothing that may be read.
    """

    def __init__(self, path: PathLike) -> None:
        self.path = _local(path)
        self.entries = _entries(self.path)
        self.config = read_json(self.path / "config.json") if (self.path / "config.json").is_file() else {}

    @property
    def layers(self) -> list[str]:
        """Names of all that has a weight with two dimensions, as the files name them."""
        ends = ".weight"
        return [n.removesuffix(ends) for n, e in self.entries.items() if n.endswith(ends) and len(e.shape) == 2]

    def entry(self, layer: str) -> Entry | None:
        """Where a layer's weight lies; None where there is none.

        The name may be that of the module in another class of the same model ("encoder.x" for "bert.encoder.x"), or
        the one that this transformers gives to what older ones saved under another. A head that is tied to the input
        embedding, and so not saved, has that one's weight.
        """
        direct = self.entries.get(f"{layer}.weight")
        if direct is not None:
            return direct
        for names in (self.entries, self._renamed):
            if entry := _by_name(names, f"{layer}.weight"):
                return entry
        return self._embedding if layer.rpartition(".")[2] in HEADS else None

    def shape(self, layer: str) -> tuple[int, int] | None:
        """(d_out, d_in) of a layer; None where it has no weight with two dimensions."""
        entry = self.entry(layer)
        if entry is None or len(entry.shape) != 2:
            return None
        first, second = entry.shape
        return (second, first) if self._transposed(entry) else (first, second)

    def weight(self, layer: str) -> Tensor:
        """W₀ of a layer as d_out × d_in, from the file."""
        entry = self.entry(layer)
        if entry is None:
            raise BadInput(f"{self.path} has no weight for layer {layer}")
        weight = read_tensor(entry)
        return weight.T if self._transposed(entry) else weight

    def _transposed(self, entry: Entry) -> bool:
        """Whether a weight is kept as d_in × d_out, in the model or in the part of it that its name begins with."""
        parts = entry.tensor.removesuffix(".weight").split(".")
        inner = self.config.get(parts[0])
        model = inner if isinstance(inner, dict) else self.config
        return parts[-1] in CONV1D_LAYERS and model.get("model_type") in CONV1D

    @cached_property
    def _embedding(self) -> Entry | None:
        """The input embedding, where the configuration ties the head to it (transformers' default)."""
        if not self.config or not self.config.get("tie_word_embeddings", True):
            return None
        tables = [e for n, e in self.entries.items() if n.removesuffix(".weight").rpartition(".")[2] in EMBEDDINGS]
        return tables[0] if len(tables) == 1 else None

    @cached_property
    def _renamed(self) -> Mapping[str, Entry]:
        """The entries under the names that the installed transformers gives to their modules.

        Needs the model's class, which is built without weights.
        """
        renamings = _renamings(self.path, self.config)
        return {_rename(name, renamings): entry for name, entry in self.entries.items()} if renamings else {}


def read_tensor(entry: Entry) -> Tensor:
    """One tensor of a file.

    Raises:
        BadInput: The file is damaged, or its weights are not floating-point.
    """
    try:
        with safe_open(entry.file, "pt") as file:
            tensor: Tensor = file.get_tensor(entry.tensor)
    except (SafetensorError, OSError, RuntimeError, ValueError) as error:
        raise damaged(entry.file, error) from error
    check_precision(tensor, f"{entry.tensor} in {entry.file.name}")
    return tensor


def check_precision(tensor: Tensor, name: str) -> None:
    """Refuse quantised numbers, which mean nothing without their scales.

    Raises:
        BadInput: Not bfloat16, float16, float32 or float64.
    """
    if not tensor.is_floating_point() or tensor.element_size() < 2:
        raise BadInput(f"{name} holds {tensor.dtype}; quantised weights cannot be read, give those before it")


def headers(file: Path) -> dict[str, Entry]:
    """Name and shape of every tensor in a safetensors file, from its header.

    Raises:
        BadInput: The header does not fit the file.
    """
    try:
        with safe_open(file, "pt") as opened:
            return {n: Entry(file, n, tuple(opened.get_slice(n).get_shape())) for n in opened.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, RuntimeError, ValueError) as error:
        raise damaged(file, error) from error


def damaged(file: Path, error: Exception) -> BadInput:
    """The refusal of a file that does not hold what it says.

    Raises:
        MemoryError: The file may be whole, but there is no memory left to read it.
    """
    if "allocate memory" in str(error):
        raise MemoryError(str(error)) from error
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return BadInput(f"{file.name} is not a whole safetensors file ({reason}); download or save it again")


def read_json(file: Path) -> dict[str, Any]:
    """A JSON object from a file of a sensible size.

    Raises:
        BadInput: It is something else.
    """
    try:
        if file.stat().st_size > MAX_JSON_BYTES:
            raise BadInput(
                f"{file.name} has {file.stat().st_size:,} bytes; a configuration has at most {MAX_JSON_BYTES:,}"
            )
        content = orjson.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(f"{file.name} is not readable JSON: {str(error).splitlines()[0]}") from error
    if not isinstance(content, dict):
        raise BadInput(f"{file.name} holds no JSON object")
    return content


def refuse_pickles(folder: Path, wanted: str) -> None:
    """Say why weights that are there are not opened.

    Raises:
        BadInput: The folder holds weights in another form than safetensors.
    """
    pickles = sorted(path.name for path in folder.iterdir() if is_pickle(path))
    if pickles:
        raise BadInput(
            f"{pickles[0]} holds pickled weights, which can run code when opened and are refused; "
            f"save them as {wanted} (save_pretrained does)"
        )


def _local(path: PathLike) -> Path:
    local = Path(path)
    if local.exists():
        return local
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(os.fspath(path), local_files_only=True))
    except (HFValidationError, LocalEntryNotFoundError, OSError):
        raise BadInput(f"base {os.fspath(path)!r} is neither a folder nor a model in the local hub cache") from None


def _entries(path: Path) -> dict[str, Entry]:
    files = [path] if path.is_file() else _files(path)
    entries = {name: entry for file in files for name, entry in headers(file).items()}
    if not entries:
        raise BadInput(f"{path} holds no tensors")
    return entries


def _files(folder: Path) -> list[Path]:
    if (folder / INDEX).is_file():
        return _shards(folder)
    for name in SINGLE:
        if (folder / name).is_file():
            return [folder / name]
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        refuse_pickles(folder, "model.safetensors")
        raise BadInput(f"{folder} holds no safetensors; give a model folder, such as save_pretrained writes")
    return files


def _shards(folder: Path) -> list[Path]:
    mapped = read_json(folder / INDEX).get("weight_map")
    names = sorted({str(name) for name in mapped.values()}) if isinstance(mapped, dict) else []
    if not names:
        raise BadInput(f"{INDEX} names no files")
    for name in names:
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise BadInput(f"{INDEX} names {name!r}; allowed: safetensors files beside it")
        if not (folder / name).is_file():
            raise BadInput(f"{INDEX} names {name}, which is missing; download it too")
    return [folder / name for name in names]


def _by_name(names: Mapping[str, Entry], wanted: str) -> Entry | None:
    """The one tensor whose name is `wanted` up to leading parts of either."""
    if wanted in names:
        return names[wanted]
    close = [n for n in names if n.endswith(f".{wanted}") or (wanted.endswith(f".{n}") and n.count(".") > 1)]
    return names[close[0]] if len(close) == 1 else None


def _rename(name: str, renamings: list[Any]) -> str:
    from transformers.core_model_loading import apply_renamings

    return apply_renamings(name, renamings)


def _renamings(path: Path, config: Mapping[str, Any]) -> list[Any]:
    """Transformers' renamings for the model's class, which is built on the meta device for it; [] where unknown."""
    import torch
    import transformers
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.core_model_loading import WeightRenaming

    name = next(iter(config.get("architectures") or []), "")
    kind = getattr(transformers, name, None) if isinstance(name, str) else None
    if not (isinstance(kind, type) and issubclass(kind, transformers.PreTrainedModel)):
        return []
    try:
        with torch.device("meta"):
            model = kind(transformers.AutoConfig.for_model(**config))
    except Exception as error:  # whatever a configuration from outside makes of a model's constructor
        raise BadInput(f"{path / 'config.json'} does not describe a {name}: {str(error).splitlines()[0]}") from error
    return [transform for transform in get_model_conversion_mapping(model) if type(transform) is WeightRenaming]
