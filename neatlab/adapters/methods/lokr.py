"""LoKr: a Kronecker product of a small matrix and a large one, the large one thin."""

from typing import TYPE_CHECKING

from pydantic import Field

from neatlab.adapters.methods.base import (
    MAX_RANK,
    AdapterFiles,
    Config,
    Method,
    Parts,
    Shape,
    Targets,
    built_delta,
    check_rank,
    never,
    pair_shape,
    peft_config,
)
from neatlab.adapters.methods.lora import LoraOptions, alpha_of

if TYPE_CHECKING:
    from peft import PeftConfig


class LokrOptions(LoraOptions):
    """LoKr: `rank` is that of the larger Kronecker factor; from half that factor's size on it is kept whole.

    Args:
        factor: Size wanted for the smaller Kronecker factor; −1 as near the square root as the layer divides.
    """

    factor: int = Field(-1, ge=-1, le=MAX_RANK)


def config(options: LokrOptions, targets: Targets) -> "PeftConfig":
    """PEFT's config."""
    settings = {"r": options.rank, "alpha": alpha_of(options), "decompose_factor": options.factor}
    return peft_config("LoKrConfig", targets, **settings)


def count(options: LokrOptions, d_out: int, d_in: int) -> int:
    """The small Kronecker factor whole, the large one as two rank-r matrices where these are smaller."""
    from peft.tuners.lokr.layer import factorization

    check_rank(options.rank, min(d_out, d_in))
    (small_out, large_out), (small_in, large_in) = (factorization(d, options.factor) for d in (d_out, d_in))
    thin = options.rank < max(large_out, large_in) / 2
    return small_out * small_in + (options.rank * (large_out + large_in) if thin else large_out * large_in)


def _shape(parts: Parts, config: Config) -> Shape | None:
    """C ⊗ W₂: each side is the product of the factors' sides."""
    sides = []
    for factor in ("lokr_w1", "lokr_w2"):
        whole, pair = parts.get(factor), pair_shape(f"{factor}_a", f"{factor}_b")(parts, config)
        if whole is None and pair is None:
            return None
        sides.append(pair if whole is None else (whole.shape[0], whole.shape[1]))
    (a, b), (c, d) = sides  # type: ignore[misc]  # None was returned above
    return a * c, b * d


METHOD = Method(
    "LoKr",
    LokrOptions,
    config,
    "adapter",
    "ΔW = (α/r)·C ⊗ (B A)",
    "C, A and B",
    count,
    built_delta,
    AdapterFiles(
        "LOKR",
        ("r", "alpha", "rank_pattern", "alpha_pattern", "decompose_both", "decompose_factor"),
        _shape,
        never,
        (),
        harmless=("rank_dropout", "module_dropout", "rank_dropout_scale"),
    ),
    fits_conv1d=False,
    rank="rank of the larger Kronecker factor",
)
