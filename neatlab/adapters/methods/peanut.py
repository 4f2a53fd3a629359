"""PEFT's own PEANuT: NEAT over the outputs, in pairs of further layers."""

from typing import TYPE_CHECKING, Any

from pydantic import Field

from neatlab.adapters.forms import write_lora, write_merged, write_saved
from neatlab.adapters.methods.base import (
    BOUND,
    AdapterFiles,
    Method,
    Network,
    RankOptions,
    Targets,
    always,
    check_rank,
    peft_config,
    unknown_shape,
)
from neatlab.errors import unknown
from neatlab.schema import STORED

if TYPE_CHECKING:
    from peft import PeftConfig
    from torch import Tensor

    from neatlab.adapters.attach import Adapted
    from neatlab.adapters.factors import Factors
    from neatlab.adapters.forms import Errors
    from neatlab.runtime.files import PathLike


class PeanutOptions(RankOptions):
    """PEFT's own PEANuT: `rank` is r; `pairs` is what its config calls depth, NEAT's depth = 2·pairs + 2."""

    pairs: int = Field(0, ge=0, le=31)
    activation: str = "relu"
    scaling: float = Field(1.0, ge=-BOUND, le=BOUND)

    def model_post_init(self, context: Any, /) -> None:
        """Refuse an activation that PEFT does not know."""
        if context == STORED:
            return
        from transformers.activations import ACT2FN

        if self.activation not in ACT2FN:
            raise unknown("activation", self.activation, ACT2FN)


def config(options: PeanutOptions, targets: Targets) -> "PeftConfig":
    """PEFT's config."""
    settings = {"r": options.rank, "depth": options.pairs, "act_fn": options.activation, "scaling": options.scaling}
    return peft_config("PeanutConfig", targets, **settings)


def count(options: PeanutOptions, d_out: int, d_in: int) -> int:
    """2·r·d_out + 2·pairs·r²: A, B, encoders and decoders."""
    check_rank(options.rank, min(d_out, d_in))
    return 2 * options.rank * d_out + 2 * options.pairs * options.rank**2


def delta(layer: Any, adapter: str, weight: "Tensor", start: "Factors | None") -> "Factors":
    """(s·Θ_L, Hᵀ)."""
    from transformers.activations import ACT2FN

    from neatlab.adapters.factors import Factors
    from neatlab.adapters.neat.hidden import hidden_layers

    first, last = layer.peanut_A[adapter].weight, layer.peanut_B[adapter].weight
    product = first @ weight.to(first.dtype)  # r × d_in
    hidden = hidden_layers(product, _inner(layer, adapter), ACT2FN[layer.act_fn[adapter]], paired=True)
    return Factors(last * layer.scaling[adapter], hidden)


def network(layer: Any, adapter: str, weight: "Tensor") -> Network:
    """Θ₁ᵀ, what σ is applied to, and Θ₂ᵀ … Θ_{L−1}ᵀ."""
    first = layer.peanut_A[adapter].weight
    return Network("out", first @ weight.to(first.dtype), first, _inner(layer, adapter))


def _inner(layer: Any, adapter: str) -> "list[Tensor]":
    return [module.weight for module in [*layer.peanut_encoders[adapter], *layer.peanut_decoders[adapter]]]


def write_neat(adapted: "Adapted", folder: "PathLike") -> "Errors":
    """NEAT of depth 2·pairs + 2."""
    from neatlab.adapters.convert import peanut_to_neat

    model: Any = adapted.model
    peanut_to_neat(model, folder)
    return {}


METHOD = Method(
    "PEANuT (PEFT)",
    PeanutOptions,
    config,
    "adapter",
    "ΔW = s·f(W₀ᵀ)ᵀ",
    "2·r·d_out + 2·pairs·r²",
    count,
    delta,
    AdapterFiles("PEANUT", ("r", "depth", "act_fn", "scaling"), unknown_shape, always, ("r", "depth")),
    forms={"peanut": write_saved, "neat": write_neat, "lora": write_lora, "merged": write_merged},
    fits_conv1d=False,
    factors=("s·Θ_Lᵀ", "H"),
    network=network,
)
