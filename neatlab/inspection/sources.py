"""Where ΔW comes from: an adapter folder, a pair of checkpoints, or a model in memory; one layer at a time."""

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from neatlab.adapters.deltas import initial_factors
from neatlab.adapters.factors import Delta, Factors
from neatlab.errors import BadInput, NotFinite
from neatlab.inspection.adapter_folder import CONFIG, AdapterFolder, is_adapter, read_adapter
from neatlab.inspection.further import FURTHER
from neatlab.inspection.further.reading import further_delta
from neatlab.inspection.image_file import image_file, read_image_lora
from neatlab.inspection.image_source import ImageSource
from neatlab.inspection.peft_layers import build_layers, delta_of, inject
from neatlab.inspection.source import Layer, Shape, Source, check_delta, check_shape, check_weight
from neatlab.inspection.weights import Weights
from neatlab.runtime.files import PathLike

TABLES = re.compile(  # names that transformers gives to embedding tables and not to linear layers
    r"shared|wte|wpe|(tokens|positions)_embed|embed_(tokens|positions|in)|((word|tok|token|position)_)?embedding"
    r"|(\w+_)?embeddings|relative_attention_bias"
)


def open_source(path: PathLike, base: PathLike | None = None) -> Source:
    """What a path holds, checked and ready to be read layer by layer.

    Args:
        path: An adapter folder, a LoRA file as Kohya, Diffusers or ComfyUI writes it or a folder that holds one, or a
            checkpoint that was trained whole.
        base: The checkpoint before; needed for the latter, and for adapters whose ΔW depends on W₀.

    Raises:
        BadInput: Nothing there that can be read, or an adapter and a base that do not fit.
    """
    folder = Path(path)
    if not folder.exists():
        raise BadInput(f"{folder} does not exist; give an adapter folder or a LoRA file")
    weights = None if base is None else Weights(base)
    if folder.is_dir() and is_adapter(folder):
        return AdapterSource(read_adapter(folder), weights)
    if (file := image_file(folder)) is not None:
        return ImageSource(read_image_lora(file), weights)
    if weights is None:
        raise BadInput(
            f"{folder} holds no {CONFIG} and no LoRA file; for a checkpoint trained whole give the one before as --base"
        )
    return CheckpointSource(Weights(folder), weights)


class AdapterSource(Source):
    """An adapter folder, its ΔW computed by PEFT's own layers on weights that take no memory.

    Args:
        adapter: The folder's content.
        base: The base's weights; they are read for one layer at a time.

    Attributes:
        shapes: Layer → (d_out, d_in).
        tuners: Layer → PEFT's layer with the adapter's tensors; none of the types in FURTHER.

    Raises:
        BadInput: The adapter does not fit the base, or needs one for its ΔW.
    """

    def __init__(self, adapter: AdapterFolder, base: Weights | None) -> None:
        if base is None and adapter.needs_weight:
            raise BadInput(f"ΔW of this {adapter.type} adapter depends on W₀; give the model with --base")
        self.adapter, self.weights = adapter, base
        self.title, self.method, self.settings = adapter.path.resolve().name, adapter.type, _shown(adapter)
        self.trained_whole, self.left_out = adapter.trained_whole, adapter.left_out
        self.base = None if base is None else os.fspath(base.path)
        self.shapes = {name: _shape(adapter, name, base) for name in adapter.layers}
        self.tuners = {} if adapter.type in FURTHER else build_layers(adapter, self.shapes)
        self.layers = list(adapter.layers)

    def read(self, layer: str) -> Layer:
        key, weight = _of_base(self.weights, layer)
        delta = self._delta(layer, weight)
        return Layer(delta, weight, key, self._rank(layer, delta))

    def delta(self, layer: str) -> Delta:
        """ΔW of a layer; W₀ is read only where ΔW depends on it."""
        return self._delta(layer, self.weight(layer) if self.adapter.needs_weight else None)

    def weight(self, layer: str) -> Tensor | None:
        """W₀ of a layer, d_out × d_in; None without a base."""
        return _of_base(self.weights, layer)[1]

    def _rank(self, layer: str, delta: Delta) -> int | None:
        """The rank that was asked for."""
        if layer in self.tuners:
            return self.adapter.files.rank(self.tuners[layer])
        return delta.rank if isinstance(delta, Factors) else None

    def _delta(self, layer: str, weight: Tensor | None) -> Delta:
        if self.adapter.type in FURTHER:
            with torch.no_grad():
                delta = further_delta(self.adapter, layer, self.shapes[layer], weight)
            check_delta(layer, delta)
            return delta
        start = self._start(layer, weight)
        if weight is None:
            weight_or_shape = torch.zeros(()).expand(self.shapes[layer])
        else:
            weight_or_shape = weight.float() if self.adapter.needs_weight else weight
        with torch.no_grad():
            delta = delta_of(self.tuners[layer], weight_or_shape, start)
        check_delta(layer, delta)
        return delta

    def _start(self, layer: str, weight: Tensor | None) -> Factors | None:
        """What PiSSA and OLoRA took out of W₀, made again from it."""
        initial = self.adapter.files.initial(self.adapter.settings)
        if weight is None or not initial:
            return None
        config = self.adapter.peft_config()
        for name, value in initial.items():
            setattr(config, name, value)
        tuner = inject({layer: weight.float().clone()}, config)[layer]
        return initial_factors(tuner, "default", weight)


class CheckpointSource(Source):
    """Two whole checkpoints, before and after: ΔW is their difference.

    Args:
        after: The trained weights.
        before: The base's.

    Raises:
        BadInput: They share no layer, or differ in a layer's shape.
    """

    def __init__(self, after: Weights, before: Weights) -> None:
        self.after, self.before = after, before
        self.title, self.method, self.settings = after.path.resolve().name, "checkpoint", {}
        self.base = os.fspath(before.path)
        known = [name for name in after.layers if before.shape(name) is not None]
        tables = [name for name in known if _is_table(name)]
        self.layers = [name for name in known if name not in tables]
        self.left_out = dict.fromkeys(tables, "an embedding; only linear layers are inspected")
        self.trained_whole = [name for name in after.layers if name not in known]
        if not self.layers:
            raise BadInput(f"{after.path} and {before.path} share no linear layer; are they of one model?")
        for name in self.layers:
            check_shape(name, after.shape(name), before.shape(name), "give the checkpoint that training began from")

    def read(self, layer: str) -> Layer:
        key, before = _of_base(self.before, layer)
        after = self.after.weight(layer)
        if before is None:
            raise BadInput(f"{self.before.path} has no weight for layer {layer}")
        if not torch.isfinite(after).all():
            raise NotFinite(f"{layer}.weight holds NaN or infinite values; take an earlier checkpoint", layer)
        return Layer(after.float() - before.float(), before, key)


@dataclass
class ModelSource(Source):
    """Updates in memory, such as those of a run.

    Args:
        deltas: Layer → ΔW.
        weights: Layer → W₀.
    """

    title: str
    method: str
    settings: Mapping[str, Any]
    deltas: Mapping[str, Delta]
    weights: Mapping[str, Tensor]
    trained_whole: list[str] = field(default_factory=list)
    left_out: Mapping[str, str] = field(default_factory=dict)
    base: str | None = None

    def __post_init__(self) -> None:
        self.layers = list(self.deltas)

    def read(self, layer: str) -> Layer:
        delta = self.deltas[layer]
        return Layer(delta, self.weights.get(layer), None, delta.rank if isinstance(delta, Factors) else None)


def _shown(adapter: AdapterFolder) -> dict[str, Any]:
    settings = {name: adapter.settings[name] for name in adapter.files.fields if adapter.settings.get(name)}
    return {**settings, **adapter.files.initial(adapter.settings)}


def _is_table(name: str) -> bool:
    return TABLES.fullmatch(name.rpartition(".")[2]) is not None


def _of_base(base: Weights | None, layer: str) -> tuple[tuple[Path, str] | None, Tensor | None]:
    entry = None if base is None else base.entry(layer)
    if base is None or entry is None:
        return None, None
    weight = base.weight(layer)
    check_weight(weight, entry)
    # Weights in memory have no file to be known by.
    key = (entry.file, entry.tensor) if entry.file.is_file() else None
    return key, weight.flatten(1) if weight.ndim > 2 else weight


def _flat_shape(base: Weights, layer: str) -> Shape | None:
    """(d_out, d_in·k·k) of a convolution's weight."""
    entry = base.entry(layer)
    return None if entry is None or len(entry.shape) < 3 else (entry.shape[0], math.prod(entry.shape[1:]))


def _shape(adapter: AdapterFolder, layer: str, base: Weights | None) -> Shape:
    of_adapter = adapter.files.shape(adapter.layers[layer], adapter.settings)
    if base is None:
        if of_adapter is None:
            raise BadInput(
                f"the tensors of this {adapter.type} adapter do not tell its layers' shapes; give the model with --base"
            )
        return of_adapter
    of_base = _flat_shape(base, layer) if layer in adapter.kernels else base.shape(layer)
    if of_base is None:
        raise BadInput(
            f"adapter and base do not fit: layer {layer} of the adapter is not in {base.path}; {_named_base(adapter)}"
        )
    if of_adapter is not None:
        check_shape(layer, of_adapter, of_base, _named_base(adapter))
    return of_base


def _named_base(adapter: AdapterFolder) -> str:
    name = adapter.settings.get("base_model_name_or_path")
    return f"it was trained on {name!r}" if name else "give the model that it was trained on"
