"""GraLoRA: ΔW in k × k blocks, each with thin factors of its own."""

from typing import TYPE_CHECKING, Any

from pydantic import Field

from neatlab.adapters.forms import write_lora, write_merged
from neatlab.adapters.methods.base import (
    MAX_RANK,
    AdapterFiles,
    Config,
    Method,
    Parts,
    Shape,
    Targets,
    peft_config,
)
from neatlab.adapters.methods.lora import LoraOptions, alpha_of
from neatlab.adapters.methods.lora import count as lora_count
from neatlab.errors import BadInput

if TYPE_CHECKING:
    from peft import PeftConfig
    from torch import Tensor

    from neatlab.adapters.factors import Factors


class GraloraOptions(LoraOptions):
    """GraLoRA (arXiv:2505.20355): `rank` is that of a row of blocks, so that it costs what LoRA does at this rank.

    Args:
        blocks: k; it divides the rank and both sides of every layer.
    """

    blocks: int = Field(2, ge=1, le=MAX_RANK)


def config(options: GraloraOptions, targets: Targets) -> "PeftConfig":
    """PEFT's config."""
    settings = {"r": options.rank, "alpha": alpha_of(options), "gralora_k": options.blocks}
    return peft_config("GraloraConfig", targets, **settings)


def count(options: GraloraOptions, d_out: int, d_in: int) -> int:
    """r·(d_in + d_out): k matrices of d_in/k × r and k of r × d_out/k."""
    for name, size in (("rank", options.rank), ("outputs", d_out), ("inputs", d_in)):
        if size % options.blocks:
            raise BadInput(f"blocks={options.blocks} does not divide the {name}, {size}")
    return lora_count(options, d_out, d_in)


def delta(layer: Any, adapter: str, weight: "Tensor", start: "Factors | None") -> "Factors":
    """Block (j, n) is s·B_jnᵀ A_jnᵀ of rank r/k: k·r thin directions in all, ordered by n, then j."""
    import torch

    from neatlab.adapters.factors import Factors

    A, B = layer.gralora_A[adapter], layer.gralora_B[adapter]  # k × d_in/k × r, k × r × d_out/k
    k, rank = B.shape[0], B.shape[1]
    right = torch.block_diag(*A.transpose(1, 2))  # k·r × d_in, rows (n, j, r/k)
    left = torch.block_diag(*B.transpose(1, 2))  # d_out × k·r, columns (j, n, r/k)
    left = left.view(-1, k, k, rank // k).transpose(1, 2).reshape(-1, k * rank)
    if layer.hybrid_r[adapter]:
        right = torch.cat([right, layer.gralora_A_general[adapter].weight])
        left = torch.cat([left, layer.gralora_B_general[adapter].weight], 1)
    return Factors(left * layer.scaling[adapter], right)


def _shape(parts: Parts, config: Config) -> Shape | None:
    if "gralora_A" not in parts or "gralora_B" not in parts:
        return None
    A, B = parts["gralora_A"], parts["gralora_B"]
    return B.shape[0] * B.shape[-1], A.shape[0] * A.shape[1]


METHOD = Method(
    "GraLoRA",
    GraloraOptions,
    config,
    "adapter",
    "ΔW = (α/r)·[B_jn A_jn], k × k blocks of rank r/k",
    "r·(d_in + d_out)",
    count,
    delta,
    AdapterFiles(
        "GRALORA",
        ("r", "hybrid_r", "alpha", "gralora_k"),
        _shape,
        bounded=("r", "hybrid_r", "gralora_k"),
        harmless=("gralora_dropout",),
        max_dims=3,
    ),
    forms={"lora": write_lora, "merged": write_merged},
    rank="rank of a row of blocks; that of ΔW is at most k times it",
    factors=("s·B", "A"),
)
