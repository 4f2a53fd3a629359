"""NEAT as a row of METHODS; the layer itself is `neatlab.adapters.neat`."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import Field

from neatlab.adapters.methods.base import BOUND, Kind, Method, RankOptions, Targets, check_rank, unknown_shape
from neatlab.adapters.neat.sizes import Conditioning, Orientation, Residual

if TYPE_CHECKING:
    from torch import Tensor

    from neatlab.adapters.factors import Factors
    from neatlab.adapters.neat.config import NeatConfig


class NeatOptions(RankOptions):
    """NEAT, ΔW = f(W₀); the names are `NeatConfig`'s, with `rank` for r, the width of the hidden layers."""

    depth: int = Field(2, le=64)
    activation: str = "relu"
    residual: Residual = "paired"
    orientation: Orientation = "out"
    conditioning: Conditioning = "weight"
    scaling: float = Field(1.0, ge=-BOUND, le=BOUND)
    frequency: float = Field(1.0, ge=-BOUND, le=BOUND)

    def model_post_init(self, context: Any, /) -> None:
        """Let `NeatConfig` refuse what no layer could be built from, before any model is loaded."""
        config(self, [])


def config(options: NeatOptions, targets: Targets) -> "NeatConfig":
    """The PEFT config that these options stand for; PEFT is imported only here, so that a form opens without it."""
    from neatlab.adapters.neat.config import NeatConfig

    settings = options.model_dump()
    return NeatConfig(r=settings.pop("rank"), target_modules=targets, **settings)


def count(options: NeatOptions, d_out: int, d_in: int) -> int:
    """2·r·n + (L−2)·r², n the side that is mapped over; r·(d_in + d_out) + … without conditioning."""
    from neatlab.adapters.neat.config import parameter_count

    check_rank(options.rank, min(d_out, d_in))
    return parameter_count(config(options, []), d_in, d_out)


def delta(layer: Any, adapter: str, weight: "Tensor", start: "Factors | None") -> "Factors":
    """(s·Θ_L, Hᵀ) in the order that the orientation asks for."""
    return layer.factors(adapter)


def _needs_weight(settings: Mapping[str, Any]) -> bool:
    return settings.get("conditioning", "weight") == "weight"


METHOD = Method(
    "NEAT",
    NeatOptions,
    config,
    "adapter",
    "ΔW = s·f(W₀ᵀ)ᵀ",
    "2·r·n + (L−2)·r² (n the mapped side)",
    count,
    delta,
    Kind(
        "NEAT",
        ("r", "depth", "activation", "residual", "orientation", "conditioning", "scaling", "frequency"),
        unknown_shape,
        _needs_weight,
        ("r", "depth"),
    ),
    forms=("neat", "peanut", "lora", "merged"),
)
