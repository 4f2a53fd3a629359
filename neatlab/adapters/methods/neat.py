"""NEAT as a row of METHODS; the layer itself is `neatlab.adapters.neat`."""

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from neatlab.adapters.forms import write_lora, write_merged, write_saved
from neatlab.adapters.methods.base import (
    BOUND,
    AdapterFiles,
    Config,
    Method,
    Network,
    Parts,
    PlacedOptions,
    RankOptions,
    Shape,
    Targets,
    check_rank,
)
from neatlab.adapters.neat_sizes import Conditioning, Orientation, Residual
from neatlab.schema import STORED

if TYPE_CHECKING:
    from torch import Tensor

    from neatlab.adapters.attach import Adapted
    from neatlab.adapters.factors import Delta, Factors
    from neatlab.adapters.forms import Errors
    from neatlab.adapters.neat.config import NeatConfig
    from neatlab.runtime.files import PathLike


class NeatOptions(RankOptions):
    """NEAT, ΔW = f(W₀); the names are `NeatConfig`'s, with `rank` for r, the width of the hidden layers.

    `init_weights` is "zero" for Θ₁ as it is drawn, "calibrated" for H as large as LoRA's A; ΔW starts at 0 with both.
    """

    depth: int = Field(2, le=64)
    activation: str = "relu"
    residual: Residual = "paired"
    orientation: Orientation = "out"
    conditioning: Conditioning = "weight"
    scaling: float = Field(1.0, ge=-BOUND, le=BOUND)
    frequency: float = Field(1.0, ge=-BOUND, le=BOUND)
    init_weights: Literal["zero", "calibrated"] = "zero"

    def model_post_init(self, context: Any, /) -> None:
        """Let `NeatConfig` refuse what no layer could be built from, before any model is loaded."""
        if context != STORED:
            config(self, [])


def config(options: NeatOptions, targets: Targets) -> "NeatConfig":
    """The PEFT config that these options stand for; PEFT is imported only here, so that a form opens without it."""
    from neatlab.adapters.neat.config import NeatConfig

    settings = options.model_dump(exclude={*PlacedOptions.model_fields})
    if settings["init_weights"] == "zero":
        settings["init_weights"] = True
    return NeatConfig(r=settings.pop("rank"), target_modules=targets, **settings)


def count(options: NeatOptions, d_out: int, d_in: int) -> int:
    """2·r·n + (L−2)·r², n the side that is mapped over; r·(d_in + d_out) + … without conditioning."""
    from neatlab.adapters.neat.config import parameter_count

    check_rank(options.rank, min(d_out, d_in))
    return parameter_count(config(options, []), d_in, d_out)


def delta(layer: Any, adapter: str, weight: "Tensor", start: "Factors | None") -> "Delta":
    """(s·Θ_L, Hᵀ) in the order that the orientation asks for; the whole matrix where there are magnitudes."""
    return layer.dense_delta(adapter) if layer.is_dora(adapter) else layer.factors(adapter)


def network(layer: Any, adapter: str, weight: "Tensor") -> Network:
    """Θ₁ᵀ, what σ is applied to, and Θ₂ᵀ … Θ_{L−1}ᵀ."""
    first, *inner, _ = layer.thetas(adapter)
    conditioned = layer.neat_config[adapter].conditioning == "weight"
    over: Literal["out", "in"] = "out" if layer.maps_out(adapter) else "in"
    return Network(over, layer.before_activation(adapter), first if conditioned else None, inner)


def write_peanut(adapted: "Adapted", folder: "PathLike") -> "Errors":
    """PEANuT, where its settings can say the same."""
    from neatlab.adapters.convert import neat_to_peanut

    model: Any = adapted.model
    neat_to_peanut(model, folder)
    return {}


def _needs_weight(settings: Config) -> bool:
    return settings.get("conditioning", "weight") == "weight" or bool(settings.get("use_dora"))


def _shape(parts: Parts, settings: Config) -> Shape | None:
    """A layer that does not look at W₀ has its free side in the first map, the other side in the last."""
    thetas = [tensor for name, tensor in parts.items() if name.startswith("neat_theta.")]
    if _needs_weight(settings) or not thetas:
        return None
    first, last = thetas[0].shape[-1], thetas[-1].shape[-1]
    orientation = settings.get("orientation", "out")
    if orientation == "auto" and first != last:
        return None  # wide and tall layers keep the same shapes
    return (first, last) if orientation == "in" else (last, first)


def _layer_rank(layer: Any) -> int:
    return int(layer.neat_config["default"].r)


METHOD = Method(
    "NEAT",
    NeatOptions,
    config,
    "adapter",
    "ΔW = s·f(W₀ᵀ)ᵀ",
    "2·r·n + (L−2)·r² (n the mapped side)",
    count,
    delta,
    AdapterFiles(
        "NEAT",
        (
            *("r", "depth", "activation", "residual", "orientation", "conditioning", "scaling", "frequency"),
            *("rank_pattern", "scaling_pattern", "use_dora"),
        ),
        _shape,
        _needs_weight,
        ("r", "depth"),
        harmless=("dropout",),
        rank=_layer_rank,
    ),
    forms={"neat": write_saved, "peanut": write_peanut, "lora": write_lora, "merged": write_merged},
    factors=("s·Θ_Lᵀ", "H"),
    network=network,
)
