"""SWEEPS: grids that answer a question that people ask. One row a preset."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class SweepPreset:
    """One row of SWEEPS.

    Args:
        arms: Arms as one writes them; the axes vary each.
        grid: Axis → values.
        settings: Further settings of the sweep, which the caller may override.
    """

    arms: tuple[str, ...]
    grid: dict[str, list[Any]]
    settings: dict[str, Any]


SWEEPS: dict[str, SweepPreset] = {
    # Is it the weight-awareness or the nonlinearity? W₀Θ₁Θ₂ and σ(A)B take one of them away each.
    "isolate": SweepPreset(
        (
            "neat:activation=linear",
            "neat:conditioning=none",
            *(f"neat:activation={a},depth={d}" for a in ("relu", "tanh", "sin") for d in (2, 4, 6)),
        ),
        {},
        {"reference": "lora:rank=8", "match": "params"},
    ),
    "depth-activation": SweepPreset(
        ("neat:rank=4",),
        {"depth": [2, 4, 6, 8], "activation": ["relu", "gelu", "silu", "tanh", "sin", "linear"]},
        {"reference": "lora:rank=4"},
    ),
    # On a square layer NEAT's updates are a subset of LoRA's: does it learn better from little data?
    "little-data": SweepPreset(
        ("neat:rank=4",),
        {"train_size": [0.05, 0.1, 0.25, 0.5, 1.0]},
        {"reference": "lora:rank=4"},
    ),
}
