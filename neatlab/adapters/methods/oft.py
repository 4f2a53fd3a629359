"""OFT: the weight's input turned in blocks."""

from typing import TYPE_CHECKING, Any

from pydantic import Field

from neatlab.adapters.methods.base import (
    MAX_RANK,
    AdapterFiles,
    Config,
    Layers,
    Method,
    PlacedOptions,
    Targets,
    always,
    no_rank,
    peft_config,
    unknown_shape,
)
from neatlab.errors import BadInput

if TYPE_CHECKING:
    from peft import PeftConfig
    from torch import Tensor

    from neatlab.adapters.factors import Factors


class OftOptions(PlacedOptions):
    """OFT has no rank: the input is turned in blocks of `block_size`, each by its own orthogonal matrix."""

    block_size: int = Field(32, ge=2, le=MAX_RANK)


def config(options: OftOptions, targets: Targets) -> "PeftConfig":
    """PEFT's config."""
    return peft_config("OFTConfig", targets, oft_block_size=options.block_size)


def count(options: OftOptions, d_out: int, d_in: int) -> int:
    """d_in·(b−1)/2: a skew-symmetric b × b matrix for each block of b inputs."""
    if d_in % options.block_size:
        sizes = ", ".join(str(size) for size in range(2, d_in + 1) if d_in % size == 0)
        raise BadInput(f"block_size={options.block_size} does not divide the {d_in} inputs; allowed: {sizes}")
    return d_in * (options.block_size - 1) // 2


def delta(layer: Any, adapter: str, weight: "Tensor", start: "Factors | None") -> "Tensor":
    """W₀ (Rᵀ − I)."""
    rotation = layer.get_delta_weight(adapter)
    return weight.to(rotation.dtype) @ rotation.T - weight


def _one_size(config: Config, layers: Layers) -> Config:
    """PEFT takes the size or the number of the blocks, and saves both."""
    return {"r": 0} if config.get("oft_block_size") else {}


METHOD = Method(
    "OFT",
    OftOptions,
    config,
    "adapter",
    "ΔW = W₀ (Rᵀ − I), R block-diagonal and orthogonal",
    "d_in·(b − 1)/2 (b the block size)",
    count,
    delta,
    AdapterFiles(
        "OFT",
        ("r", "oft_block_size", "coft", "eps", "block_share", "use_cayley_neumann", "num_cayley_neumann_terms"),
        unknown_shape,
        always,
        ("r", "num_cayley_neumann_terms"),
        harmless=("module_dropout",),
        adjust=_one_size,
        rank=no_rank,
    ),
    fits_conv1d=False,
    size="block_size",
    rank="none; block_size sets the size",
)
