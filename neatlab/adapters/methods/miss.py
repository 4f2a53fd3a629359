"""MiSS: the inputs in r groups, one row of D for each."""

from typing import TYPE_CHECKING, Any

from neatlab.adapters.forms import write_lora, write_merged
from neatlab.adapters.methods.base import AdapterFiles, Config, Method, RankOptions, Targets, check_rank, peft_config
from neatlab.errors import BadInput

if TYPE_CHECKING:
    from peft import PeftConfig
    from torch import Tensor

    from neatlab.adapters.factors import Factors


def config(options: RankOptions, targets: Targets) -> "PeftConfig":
    """PEFT's config."""
    return peft_config("MissConfig", targets, r=options.rank)


def count(options: RankOptions, d_out: int, d_in: int) -> int:
    """r·d_out: one row of D for each of r groups of inputs."""
    check_rank(options.rank, d_in)
    return options.rank * d_out


def delta(layer: Any, adapter: str, weight: "Tensor", start: "Factors | None") -> "Factors":
    """Dᵀ E: input j joins group j mod r, so E (r × d_in) repeats the identity."""
    import torch

    from neatlab.adapters.factors import Factors

    block = layer.miss_block[adapter]
    groups = torch.arange(weight.shape[1], device=block.device) % block.shape[0]
    right = torch.nn.functional.one_hot(groups, block.shape[0]).T.to(block.dtype)
    return Factors(block.T, right)


def _check(settings: Config) -> None:
    if settings.get("init_weights") in ("bat", "mini"):
        raise BadInput(f"MiSS with init_weights={settings['init_weights']!r}: the ΔW of this variant is not known here")


def _layer_rank(layer: Any) -> int:
    return int(layer.miss_r["default"])


METHOD = Method(
    "MiSS",
    RankOptions,
    config,
    "adapter",
    "ΔW = Dᵀ E, E repeating the r × r identity",
    "r·d_out",
    count,
    delta,
    AdapterFiles("MISS", ("r",), harmless=("miss_dropout", "mini_r"), check=_check, rank=_layer_rank),
    forms={"lora": write_lora, "merged": write_merged},
    fits_conv1d=False,
    factors=("Dᵀ", "E"),
)
