"""What a source of ΔW is, and the checks that all of them share."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from neatlab.adapters.factors import Delta, Factors
from neatlab.errors import BadInput
from neatlab.inspection.weights import Entry

Shape = tuple[int, int]


@dataclass(frozen=True)
class Layer:
    """One layer's update.

    Args:
        delta: ΔW.
        weight: W₀, d_out × d_in; None where no base was given.
        key: What tells this W₀ from any other: its file and its name there; None where it lies in memory only.
        requested_rank: The rank that was asked for; None for methods without one.
    """

    delta: Delta
    weight: Tensor | None
    key: tuple[Path, str] | None = None
    requested_rank: int | None = None


class Source(ABC):
    """Something that has changed weights.

    Args:
        title: What it is, for people.
        method: LORA, NEAT, …, "checkpoint" for whole weights.
        settings: The method's settings.
        layers: Names of the layers with a ΔW.
        trained_whole: What was trained whole, outside these layers.
        left_out: Layer → why its ΔW is not computed.
        base: The base's path; None without one.
    """

    title: str
    method: str
    settings: Mapping[str, Any]
    layers: list[str]
    trained_whole: list[str]
    left_out: Mapping[str, str]
    base: str | None

    @property
    def is_dora(self) -> bool:
        """Whether the change is split into magnitude and direction."""
        return bool(self.settings.get("use_dora")) or self.method == "dora"

    @abstractmethod
    def read(self, layer: str) -> Layer:
        """ΔW of a layer and what it stands on."""


def check_delta(layer: str, delta: Delta) -> None:
    """Refuse a ΔW that holds NaN or infinity.

    Raises:
        BadInput: Says of which layer.
    """
    parts = (delta.left, delta.right) if isinstance(delta, Factors) else (delta,)
    if not all(torch.isfinite(part).all() for part in parts):
        raise BadInput(f"ΔW of layer {layer} is not finite; is its scaling what it was trained with?")


def check_weight(weight: Tensor, entry: Entry) -> None:
    """Refuse a W₀ that holds NaN or infinity.

    Raises:
        BadInput: Says which.
    """
    total = weight.sum(dtype=torch.promote_types(weight.dtype, torch.float32))  # NaN and ±∞ stay in a sum
    if not torch.isfinite(total):
        raise BadInput(f"the base's {entry.tensor} holds NaN or infinite values; download or convert it again")


def check_shape(layer: str, changed: Shape | None, base: Shape | None, hint: str) -> None:
    """Refuse an adapter and a base of different sizes.

    Raises:
        BadInput: Says both.
    """
    if changed != base and changed is not None and base is not None:
        raise BadInput(
            f"adapter and base do not fit: layer {layer} is {changed[0]} × {changed[1]} in the adapter "
            f"and {base[0]} × {base[1]} in the base; {hint}"
        )
