"""VeRA: two trained scales around frozen random matrices that all layers share."""

from typing import TYPE_CHECKING, Any

from pydantic import Field

from neatlab.adapters.forms import write_lora, write_merged
from neatlab.adapters.methods.base import BOUND, AdapterFiles, Method, PlacedOptions, Targets, peft_config

if TYPE_CHECKING:
    from peft import PeftConfig
    from torch import Tensor

    from neatlab.adapters.factors import Factors


class VeraOptions(PlacedOptions):
    """VeRA: `rank` is that of the frozen random matrices, so it costs one parameter a unit and may exceed the layer.

    Args:
        rank: r of the two shared frozen matrices.
        initial: Start value of the inner scale d (0.1 in the paper).
        projection_seed: Seed of the frozen matrices.
    """

    rank: int = Field(256, ge=1, le=65_536)
    initial: float = Field(0.1, ge=-BOUND, le=BOUND)
    projection_seed: int = Field(0, ge=0, lt=2**31)


def config(options: VeraOptions, targets: Targets) -> "PeftConfig":
    """PEFT's config."""
    settings = {"r": options.rank, "d_initial": options.initial, "projection_prng_key": options.projection_seed}
    return peft_config("VeraConfig", targets, **settings)


def count(options: VeraOptions, d_out: int, d_in: int) -> int:
    """r + d_out: the two scales; the matrices between them are frozen and shared."""
    return options.rank + d_out


def delta(layer: Any, adapter: str, weight: "Tensor", start: "Factors | None") -> "Factors":
    """(diag(b) B, diag(d) A)."""
    from neatlab.adapters.factors import Factors

    d_out, d_in = weight.shape
    left = layer.vera_lambda_b[adapter][:, None] * layer.vera_B[adapter][:d_out]
    return Factors(left, layer.vera_lambda_d[adapter][:, None] * layer.vera_A[adapter][:, :d_in])


METHOD = Method(
    "VeRA",
    VeraOptions,
    config,
    "adapter",
    "ΔW = diag(b) B diag(d) A, A and B frozen and random",
    "r + d_out",
    count,
    delta,
    AdapterFiles(
        "VERA",
        ("r", "projection_prng_key", "save_projection", "d_initial"),
        harmless=("vera_dropout",),
        shared=("vera_A", "vera_B"),
    ),
    forms={"lora": write_lora, "merged": write_merged},
    rank="rank of the frozen matrices, one parameter each",
    factors=("b⊙B", "d⊙A"),
)
