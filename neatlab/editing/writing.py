"""The edited adapter as a folder that PEFT loads, whole or not at all."""

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import torch
from peft import LoraConfig
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from torch import Tensor

from neatlab.adapters.factors import Delta, Factors
from neatlab.adapters.folders import PREFIX, SHARED, save_tensors, whole_folder
from neatlab.editing.difference import Size, distance, size
from neatlab.editing.result import Edit, LayerEdit
from neatlab.editing.state import Editable, Update
from neatlab.errors import BadInput
from neatlab.inspection.adapter_folder import CONFIG, TENSORS
from neatlab.runtime.files import PathLike

OnLayer = Callable[[int, int, str], None]  # layers done, layers in all, the layer that comes next
CARRIED = (*SHARED, "fan_in_fan_out")  # settings that a LoRA takes over from another type
MAX_LISTED = 20  # names in a refusal
PATTERNS = ("rank_pattern", "alpha_pattern", "scaling_pattern", "n_frequency_pattern")


class Written(NamedTuple):
    """One layer as it goes into the file.

    Args:
        tensors: By the rest of their names.
        rank: r of its thin factors; None without.
        change: The ΔW that these numbers make.
    """

    tensors: Mapping[str, Tensor]
    rank: int | None
    change: Delta


def write(adapter: Editable, acts: tuple[str, ...], out: PathLike, on_layer: OnLayer | None = None) -> Edit:
    """Do the acts layer by layer, and write the result.

    Args:
        adapter: The adapter with its acts.
        acts: The acts, as they were written.
        out: A folder that does not exist yet, or is empty.
        on_layer: Called before each layer.

    Raises:
        BadInput: A layer that no act knows, what an act refuses of a layer, or a folder that cannot be written.
    """
    _check_supported(adapter)
    with whole_folder(out) as folder:
        tensors, ranks, rows = dict(adapter.whole), {}, []
        for done, name in enumerate(adapter.all_shapes):
            if on_layer:
                on_layer(done, len(adapter.all_shapes), name)
            written = _written(adapter, name) if name in adapter.shapes else None
            rows.append(_row(adapter, name, written))
            if written is not None:
                ranks[name] = written.rank or 0
                tensors |= _named(adapter, name, written.tensors)
        _save(adapter, tensors, ranks, folder)
        after = (folder / (adapter.image.file if adapter.image else TENSORS)).stat().st_size
    origin = adapter.origin
    return Edit(origin.title, acts, str(out), origin.type, adapter.type, origin.bytes, after, tuple(rows))


def _check_supported(adapter: Editable) -> None:
    for layer, reason in adapter.unsupported.items():
        others = list(adapter.unsupported)[1:]
        further = f" (and {len(others)} more: {', '.join(others[:MAX_LISTED])}{', …' * (len(others) > MAX_LISTED)})"
        raise BadInput(f"{layer} is {reason}; take it out with keep-layers{further if others else ''}")


def _named(adapter: Editable, layer: str, parts: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A layer's tensors under their names in the file."""
    if adapter.image is not None:
        return adapter.image.name_parts(layer, parts)
    kernel = adapter.kernels.get(layer, ())
    if kernel:  # PEFT's convolutions: down has the kernel, up is 1 × 1
        A, B = parts["lora_A.weight"], parts["lora_B.weight"]
        matrices = {"lora_A.weight": A.view(len(A), *kernel), "lora_B.weight": B.view(*B.shape, *[1] * len(kernel[1:]))}
        parts = {**parts, **matrices}
    return {f"{PREFIX}{layer}.{part}": tensor for part, tensor in parts.items()}


def _written(adapter: Editable, name: str) -> Written:
    update = adapter.read(name)
    if adapter.keeps_type:
        parts = {part: tensor.contiguous() for part, tensor in (update.parts or {}).items()}
        return Written(parts, update.rank, update.change(lambda: adapter.weight(name)))
    if not isinstance(update.delta, Factors):
        raise BadInput(f"ΔW of layer {name} has no thin factors to write as LoRA; end with compress:rank=8 or the like")
    return _as_lora(adapter, name, update, update.delta)


def _as_lora(adapter: Editable, name: str, update: Update, factors: Factors) -> Written:
    """B and A in the adapter's precision, their scaling divided out."""
    scaling = _scaling(adapter, name, factors.rank)
    B = (factors.left / scaling).to(adapter.dtype).contiguous()  # d_out × r
    A = factors.right.to(adapter.dtype).contiguous()  # r × d_in
    if not torch.isfinite(A.sum(dtype=torch.float64) + B.sum(dtype=torch.float64)):  # NaN and ±∞ stay in a sum
        raise BadInput(f"layer {name}: ΔW is too large for {adapter.dtype}; use smaller weights or factors")
    image = adapter.image
    tensors = image.shape_parts(name, B, A) if image else {"lora_A.weight": A, "lora_B.weight": B}
    magnitude = None
    if update.magnitude is not None:
        magnitude = tensors["lora_magnitude_vector"] = update.magnitude.to(adapter.dtype).contiguous()
    stored = Update(Factors(B.double() * scaling, A.double()), magnitude)
    return Written(tensors, factors.rank, stored.change(lambda: adapter.weight(name)))


def _scaling(adapter: Editable, layer: str, rank: int) -> float:
    """α/√r of rsLoRA, which keeps its α; α/r of a file with an α for each layer; 1 otherwise."""
    if adapter.image is not None:
        return adapter.image.scaling(layer, rank)
    return float(adapter.settings["lora_alpha"]) / math.sqrt(rank) if _is_rslora(adapter) else 1.0


def _is_rslora(adapter: Editable) -> bool:
    settings = adapter.settings
    return settings.get("peft_type") == "LORA" and bool(settings.get("use_rslora") and settings.get("lora_alpha"))


def _row(adapter: Editable, name: str, written: Written | None) -> LayerEdit:
    before = adapter.reference(name)
    whole = size(before)
    error = whole if written is None else distance(written.change, before)
    relative = Size(*(part / total if total > 0 else math.nan for part, total in zip(error, whole, strict=True)))
    d_out, d_in = adapter.all_shapes[name]
    return LayerEdit(
        layer=name,
        d_out=d_out,
        d_in=d_in,
        rank_before=before.rank if isinstance(before, Factors) else None,
        rank_after=0 if written is None else written.rank,
        parameters_before=adapter.origin.parameters.get(name, 0),
        parameters_after=0 if written is None else sum(tensor.numel() for tensor in written.tensors.values()),
        norm=whole.frobenius,
        relative_frobenius=relative.frobenius,
        relative_spectral=relative.spectral,
    )


def _save(adapter: Editable, tensors: dict[str, Tensor], ranks: Mapping[str, int], folder: Path) -> None:
    if adapter.image is not None:
        adapter.image.save(tensors, {} if adapter.keeps_type else ranks, folder)
        return
    if not adapter.keeps_type:
        _lora_config(adapter, ranks).save_pretrained(str(folder))
        save_tensors(tensors, folder)
        return
    kind: Any = PEFT_TYPE_TO_CONFIG_MAPPING[adapter.type]  # type: ignore[index]  # the enumeration's text
    known = {field.name for field in fields(kind)}
    settings = {name: value for name, value in adapter.settings.items() if name in known}
    settings |= {name: _matching(adapter, settings[name]) for name in PATTERNS if settings.get(name)}
    content = {**settings, "peft_type": adapter.type, "target_modules": _targets(adapter)}
    (folder / CONFIG).write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS))
    save_tensors({**tensors, **{name: tensor.contiguous() for name, tensor in adapter.shared.items()}}, folder)


def _matching(adapter: Editable, patterns: Mapping[str, Any]) -> dict[str, Any]:
    """The patterns of layers that are there, by PEFT's rule; of others it would warn."""
    names = list(adapter.shapes)
    return {key: value for key, value in patterns.items() if any(re.match(rf"(.*\.)?({key})$", name) for name in names)}


def _lora_config(adapter: Editable, ranks: Mapping[str, int]) -> LoraConfig:
    """The most frequent rank is r; the others stand in patterns, each for one layer."""
    rank = Counter(ranks.values()).most_common(1)[0][0]
    others = {f"^{re.escape(name)}": r for name, r in ranks.items() if r != rank}
    is_rslora, settings = _is_rslora(adapter), adapter.settings
    config: Any = LoraConfig(
        r=rank,
        lora_alpha=settings["lora_alpha"] if is_rslora else rank,
        rank_pattern=others,
        alpha_pattern={} if is_rslora else dict(others),
        use_rslora=is_rslora,
        use_dora=adapter.is_dora,
        inference_mode=True,
    )
    for name in CARRIED:
        if settings.get(name) is not None:
            setattr(config, name, settings[name])
    if (bias := settings.get("bias") or "none") != "none":
        config.bias = "all" if bias == "all" else "lora_only"
    config.target_modules = _targets(adapter)
    return config


def _targets(adapter: Editable) -> Any:
    """As the adapter had them while it is on the same layers; else the layers' whole names, exactly these."""
    names, targets = list(adapter.shapes), adapter.settings.get("target_modules")
    if targets and adapter.shapes.keys() == adapter.origin.parameters.keys():
        return targets
    others = [name for name in adapter.all_shapes if name not in adapter.shapes]
    if any(other.endswith(f".{name}") for other in others for name in names):
        return "|".join(re.escape(name) for name in names)
    return names
