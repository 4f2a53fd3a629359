"""LoHa: two LoRAs, multiplied element by element."""

from typing import TYPE_CHECKING

from neatlab.adapters.methods import lora
from neatlab.adapters.methods.base import (
    AdapterFiles,
    Method,
    RankOptions,
    Targets,
    built_delta,
    pair_shape,
    peft_config,
)

if TYPE_CHECKING:
    from peft import PeftConfig


def config(options: lora.LoraOptions, targets: Targets) -> "PeftConfig":
    """PEFT's config."""
    return peft_config("LoHaConfig", targets, r=options.rank, alpha=lora.alpha_of(options))


def count(options: RankOptions, d_out: int, d_in: int) -> int:
    """2·r·(d_in + d_out): two LoRAs, multiplied element by element."""
    return 2 * lora.count(options, d_out, d_in)


METHOD = Method(
    "LoHa",
    lora.LoraOptions,
    config,
    "adapter",
    "ΔW = (α/r)·(B₁A₁) ⊙ (B₂A₂)",
    "2·r·(d_in + d_out)",
    count,
    built_delta,
    AdapterFiles(
        "LOHA",
        ("r", "alpha", "rank_pattern", "alpha_pattern"),
        pair_shape("hada_w1_a", "hada_w1_b"),
        harmless=("rank_dropout", "module_dropout"),
    ),
    fits_conv1d=False,
    rank="rank of each product; that of ΔW is at most its square",
)
