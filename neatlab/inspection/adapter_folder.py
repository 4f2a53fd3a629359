"""An adapter folder as plain PEFT writes it, taken apart and checked before anything is built from it."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from peft import PeftConfig
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING, PEFT_TYPE_TO_PREFIX_MAPPING
from safetensors import SafetensorError, safe_open
from torch import Tensor

import neatlab.adapters.neat  # noqa: F401  # registers the type NEAT
from neatlab.adapters.methods import AdapterFiles
from neatlab.errors import BadInput, NotFinite, unknown
from neatlab.inspection.adapter_types import ADAPTER_TYPES, HARMLESS
from neatlab.inspection.further import CLOSED, defaults_of
from neatlab.inspection.weights import check_precision, damaged, read_json, refuse_pickles

CONFIG = "adapter_config.json"
TENSORS = "adapter_model.safetensors"
PREFIX = "base_model.model."
PATTERN = re.compile(r"[\w.\-^$\\*]{1,200}")  # keys of rank_pattern are regular expressions: no nesting, few stars


@dataclass(frozen=True)
class AdapterFolder:
    """What an adapter folder holds.

    Args:
        path: The folder.
        type: A key of ADAPTER_TYPES.
        settings: What adapter_config.json says.
        layers: Layer of the base model → its tensors by the rest of their names.
        shared: Tensors that all layers share, by their whole names.
        trained_whole: Names of tensors that were trained whole, outside the layers.
        left_out: Layer → why its ΔW is not computed.
        kernels: Layers that are convolutions → d_in and the sides of the kernel, which their tensors have in one side.
    """

    path: Path
    type: str
    settings: Mapping[str, Any]
    layers: dict[str, dict[str, Tensor]]
    shared: dict[str, Tensor]
    trained_whole: list[str]
    left_out: dict[str, str]
    kernels: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def files(self) -> AdapterFiles:
        """What files of this type hold."""
        return ADAPTER_TYPES[self.type]

    @property
    def needs_weight(self) -> bool:
        """Whether ΔW depends on W₀."""
        return self.files.needs_weight(self.settings)

    def peft_config(self) -> PeftConfig:
        """PEFT's configuration from the settings that ΔW depends on, and from no others.

        Raises:
            BadInput: PEFT does not accept them.
        """
        saved = {name: self.settings[name] for name in self.files.fields if name in self.settings}
        settings = {**saved, **self.files.adjust(self.settings, self.layers)}
        try:
            config: Any = PEFT_TYPE_TO_CONFIG_MAPPING[self.type](**settings)  # type: ignore[index]  # the enumeration's text
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise BadInput(f"{CONFIG}: {str(error).splitlines()[0]}") from error
        return config


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter rather than a checkpoint."""
    return (folder / CONFIG).exists()


def read_adapter(folder: Path) -> AdapterFolder:
    """Read and check an adapter folder.

    Args:
        folder: Holds adapter_config.json and adapter_model.safetensors.

    Raises:
        BadInput: A file is missing, damaged or pickled; a type or setting whose ΔW is not known; NaN in a tensor.
    """
    settings = read_json(folder / CONFIG)
    name = str(settings.get("peft_type"))
    if name in CLOSED:
        raise BadInput(f"ΔW of a {name} adapter cannot be computed: {CLOSED[name]}")
    if name not in ADAPTER_TYPES:
        raise unknown("adapter type", name, ADAPTER_TYPES)
    tensors, files = _read(folder), ADAPTER_TYPES[name]
    check_finite({n: tensor for n, tensor in tensors.items() if n.split(".")[-1] not in files.indices})
    shared = {n: tensors.pop(n) for n in list(tensors) if {*n.split(".")[-2:]} & {*files.shared}}
    layers, trained_whole = _split(tensors, str(PEFT_TYPE_TO_PREFIX_MAPPING[name]))  # type: ignore[index]  # as above
    as_matrices = name == "LORA" and not settings.get("use_dora") and not files.initial(settings)
    kernels = _flatten_convolutions(layers) if as_matrices else {}
    left_out = _take_out_unsupported(layers, files.max_dims)
    if not layers:
        raise BadInput(f"{TENSORS} holds no tensors of a {name} adapter on a linear layer{_reasons(left_out)}")
    adapter = AdapterFolder(folder, name, settings, layers, shared, trained_whole, left_out, kernels)
    _check_settings(adapter)
    return adapter


def _read(folder: Path) -> dict[str, Tensor]:
    file = folder / TENSORS
    if not file.is_file():
        refuse_pickles(folder, TENSORS)
        raise BadInput(f"{folder} has {CONFIG} but no {TENSORS}; give both")
    try:
        with safe_open(file, "pt") as opened:
            return {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, RuntimeError, ValueError) as error:
        raise damaged(file, error) from error


def check_finite(tensors: Mapping[str, Tensor]) -> None:
    """Refuse quantised numbers, NaN and infinity.

    Raises:
        BadInput: Says in which tensor.
    """
    for name, tensor in tensors.items():
        check_precision(tensor, name)
        if not torch.isfinite(tensor).all():
            count = int((~torch.isfinite(tensor)).sum())
            raise NotFinite(
                f"{name} holds {count:,} values that are NaN or infinite, of {tensor.numel():,}; "
                "the training diverged: take an earlier checkpoint, or train with a lower rate",
                name,
            )


def _split(tensors: Mapping[str, Tensor], prefix: str) -> tuple[dict[str, dict[str, Tensor]], list[str]]:
    layers: dict[str, dict[str, Tensor]] = {}
    trained_whole = []
    pattern = re.compile(rf"(.+)\.({re.escape(prefix)}[^.]*(?:\..*)?)")
    for name, tensor in tensors.items():
        match = pattern.fullmatch(name.removeprefix(PREFIX))
        if match is None:
            trained_whole.append(name)
        else:
            layers.setdefault(match[1], {})[match[2]] = tensor
    return dict(sorted(layers.items(), key=lambda item: _natural(item[0]))), sorted(trained_whole)


def _natural(name: str) -> list[tuple[int, str]]:
    """Layer 10 after layer 9."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in name.split(".")]


def _flatten_convolutions(layers: dict[str, dict[str, Tensor]]) -> dict[str, tuple[int, ...]]:
    """Make LoRA's convolutions of one group matrices, r × d_in·k·k and d_out × r; returns layer → d_in and kernel."""
    kernels: dict[str, tuple[int, ...]] = {}
    for name, parts in layers.items():
        A, B = (parts.get(f"lora_{side}.weight") for side in "AB")
        if A is None or B is None or A.ndim < 3 or B.shape != (len(B), len(A), *[1] * (A.ndim - 2)):
            continue
        kernels[name] = tuple(A.shape[1:])
        layers[name] = {**parts, "lora_A.weight": A.flatten(1), "lora_B.weight": B.flatten(1)}
    return kernels


def _take_out_unsupported(layers: dict[str, dict[str, Tensor]], max_dims: int) -> dict[str, str]:
    """Remove the layers whose ΔW is no matrix, or has no direction; returns why."""
    left_out = {}
    for name, parts in layers.items():
        if any(part.startswith("lora_embedding") for part in parts):
            left_out[name] = "an embedding; only linear layers are inspected"
        elif any(tensor.ndim > max_dims for tensor in parts.values()):
            left_out[name] = "a convolution; of this type only linear layers are inspected"
        elif any(tensor.numel() == 0 for tensor in parts.values()):
            left_out[name] = "rank 0: its tensors are empty, so ΔW = 0; leave the layer out of target_modules"
    for name in left_out:
        del layers[name]
    return left_out


def _reasons(left_out: Mapping[str, str]) -> str:
    name = next(iter(left_out), None)
    return "" if name is None else f"; {name}: {left_out[name]}"


def _check_settings(adapter: AdapterFolder) -> None:
    files, config = adapter.files, adapter.settings
    known = {*files.fields, *files.harmless, *HARMLESS}
    for name, default in defaults_of(adapter.type).items():
        value = config.get(name)
        if name in known or not value or value == default:
            continue
        raise BadInput(f"{CONFIG} sets {name}={str(value)[:60]!r}, whose effect on ΔW is not known here")
    files.check(config)
    _check_patterns(adapter)
    _check_numbers(adapter)


def _check_patterns(adapter: AdapterFolder) -> None:
    names = ("rank_pattern", "alpha_pattern", "scaling_pattern", "n_frequency_pattern")
    for name in filter(adapter.files.fields.__contains__, names):
        patterns = adapter.settings.get(name) or {}
        if not isinstance(patterns, dict):
            raise BadInput(f"{CONFIG}: {name} is no object")
        for key in patterns:
            if not PATTERN.fullmatch(key) or key.count("*") > 2:
                raise BadInput(f"{CONFIG}: {name} has the key {key[:60]!r}; allowed: names, with * at most twice")


def _check_numbers(adapter: AdapterFolder) -> None:
    """A rank that no tensor has would make PEFT set aside that much memory."""
    tensors = [*adapter.shared.values(), *(tensor for parts in adapter.layers.values() for tensor in parts.values())]
    largest = max(max(tensor.shape, default=1) for tensor in tensors)
    for name, value in _numbers(adapter):
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= largest:
            raise BadInput(f"{CONFIG}: {name}={str(value)[:60]}, but no tensor has a side above {largest}")


def _numbers(adapter: AdapterFolder) -> Iterable[tuple[str, Any]]:
    for name in adapter.files.bounded:
        if adapter.settings.get(name) is not None:
            yield name, adapter.settings[name]
    for name in filter(adapter.files.fields.__contains__, ("rank_pattern", "n_frequency_pattern")):
        for key, value in (adapter.settings.get(name) or {}).items():
            yield f"{name}[{key!r}]", value
