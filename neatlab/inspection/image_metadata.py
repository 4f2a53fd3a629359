"""The scalings that Diffusers writes beside the tensors of a LoRA file."""

import math
import re
from collections.abc import Mapping
from typing import Any

import orjson

from neatlab.errors import BadInput, shown
from neatlab.inspection.adapter_folder import PATTERN

SETTINGS = "lora_adapter_metadata"  # Diffusers' key in the metadata, JSON of one LoraConfig a part of the pipeline


def read_settings(metadata: Mapping[str, str]) -> Mapping[str, Any]:
    """What Diffusers wrote there; {} where it wrote nothing.

    Raises:
        BadInput: It is no JSON object.
    """
    if SETTINGS not in metadata:
        return {}
    try:
        settings = orjson.loads(metadata[SETTINGS])
    except orjson.JSONDecodeError as error:
        raise BadInput(f"the file's {SETTINGS} is not readable JSON: {error}") from error
    if not isinstance(settings, dict):
        raise BadInput(f"the file's {SETTINGS} is no JSON object")
    return settings


def configured_scaling(settings: Mapping[str, Any], layer: str, rank: int) -> float:
    """α/r, or α/√r of rsLoRA, as the metadata has it for a layer; 1 where it has nothing.

    Args:
        settings: What `read_settings` gives, with the names of LoraConfig, of a pipeline after the part's name.
        layer: The layer, as the file names it.
        rank: r.

    Raises:
        BadInput: No number, or a pattern that is none.
    """
    part, _, inner = layer.partition(".")
    own = {name.removeprefix(f"{part}."): value for name, value in settings.items() if name.startswith(f"{part}.")}
    said, name = (own, inner) if own else (settings, layer)
    alpha = _matching(said.get("alpha_pattern") or {}, name, said.get("lora_alpha"))
    if alpha is None:
        return 1.0
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not math.isfinite(alpha):
        raise BadInput(f"the file's {SETTINGS} gives layer {shown(layer)} the α {shown(alpha)}; α is a finite number")
    return alpha / (math.sqrt(rank) if said.get("use_rslora") else rank)


def _matching(patterns: Any, layer: str, default: Any) -> Any:
    """The value of the pattern that names a layer, by PEFT's rule."""
    if not isinstance(patterns, dict):
        raise BadInput(f"the file's {SETTINGS}: alpha_pattern is no object")
    for key, value in patterns.items():
        try:
            if not PATTERN.fullmatch(key) or key.count("*") > 2:
                raise re.error("not allowed")
            if re.match(rf"(.*\.)?({key})$", layer):
                return value
        except re.error as error:
            raise BadInput(f"the file's {SETTINGS}: alpha_pattern has the key {shown(key)}") from error
    return default
