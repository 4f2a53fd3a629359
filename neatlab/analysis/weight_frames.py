"""What a run stores of its weights: what both who trains and who writes the folder know of it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from numpy.typing import NDArray

SINGLE = ("sigma", "true_sigma")  # in single precision; matrices are stored in half precision

Kind = Literal["product", "out", "in", "dense"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Matrices = Mapping[str, NDArray]


@dataclass(frozen=True)
class LayerStart:
    """One layer before the first step.

    Args:
        shape: (d_out, d_in).
        kind: How ΔW is stored: as the "product" of its factors; as that with the network of W₀ that makes them, which
            maps over the "out"puts or the "in"puts; or "dense", pooled.
        base: "weight", W₀ pooled, and where the task knows it "true", the ΔW to be learnt, with "true_sigma".
        parts: Name → shape of what is stored at each step.
    """

    shape: tuple[int, int]
    kind: Kind
    base: Matrices
    parts: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class WeightsBegun:
    """What is going to be stored, said before the first step.

    Args:
        layers: Name → layer; those that there is room for.
        note: What is left out, and why, in one sentence; empty where nothing is.
    """

    layers: Mapping[str, LayerStart]
    note: str = ""

    @property
    def step_bytes(self) -> int:
        """Bytes of what is stored at one step."""
        parts = (part for layer in self.layers.values() for part in layer.parts.items())
        return sum(stored_bytes(name, shape) for name, shape in parts)

    @property
    def base_bytes(self) -> int:
        """Bytes of what is stored once."""
        parts = (part for layer in self.layers.values() for part in layer.base.items())
        return sum(stored_bytes(name, matrix.shape) for name, matrix in parts)


@dataclass(frozen=True)
class WeightsMeasured:
    """The weights after a step: layer → "left" and "right" with ΔW = left @ right, or "delta"; "sigma"; the network's
    "before", "first" and "inner".
    """

    step: int
    layers: Mapping[str, Matrices]


def stored_bytes(name: str, shape: tuple[int, ...]) -> int:
    """Bytes of a part."""
    return math.prod(shape) * (4 if name in SINGLE else 2) + 4  # its scale
