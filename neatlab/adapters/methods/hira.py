"""HiRA: the weight times a product of thin factors, element by element."""

from typing import TYPE_CHECKING, Any

from neatlab.adapters.methods.base import AdapterFiles, Method, RankOptions, Targets, always, pair_shape, peft_config
from neatlab.adapters.methods.lora import count

if TYPE_CHECKING:
    from peft import PeftConfig
    from torch import Tensor

    from neatlab.adapters.factors import Factors


def config(options: RankOptions, targets: Targets) -> "PeftConfig":
    """PEFT's config."""
    return peft_config("HiraConfig", targets, r=options.rank)


def delta(layer: Any, adapter: str, weight: "Tensor", start: "Factors | None") -> "Tensor":
    """W₀ ⊙ B A."""
    return weight * (layer.hira_B[adapter] @ layer.hira_A[adapter])


METHOD = Method(
    "HiRA",
    RankOptions,
    config,
    "adapter",
    "ΔW = W₀ ⊙ B A",
    "r·(d_in + d_out)",
    count,
    delta,
    AdapterFiles("HIRA", ("r", "rank_pattern"), pair_shape("hira_B", "hira_A"), always, harmless=("hira_dropout",)),
    rank="rank of B A; ΔW has any",
)
