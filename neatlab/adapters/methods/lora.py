"""LoRA and its relatives: rsLoRA, DoRA and PiSSA are settings of PEFT's LoRA."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import Field

from neatlab.adapters.forms import write_lora, write_merged, write_saved
from neatlab.adapters.methods.base import (
    BOUND,
    AdapterFiles,
    Config,
    Method,
    RankOptions,
    Targets,
    check_rank,
    pair_shape,
    peft_config,
)
from neatlab.errors import BadInput

if TYPE_CHECKING:
    from peft import PeftConfig
    from torch import Tensor

    from neatlab.adapters.attach import Adapted
    from neatlab.adapters.factors import Delta, Factors
    from neatlab.adapters.forms import Errors
    from neatlab.runtime.files import PathLike

KEEP_WEIGHT = (True, False, "gaussian", "eva", "orthogonal", "true", "True")  # starts that leave W₀ as it is
TAKE_FROM_WEIGHT = ("pissa", "olora")  # starts that take BA out of W₀, and can be made again from it


class LoraOptions(RankOptions):
    """LoRA and its relatives: `rank` is r; `alpha` is r by default, so that LoRA's scaling α/r is 1 as NEAT's.

    rsLoRA scales by α/√r instead (Kalajdzievski, arXiv:2312.03732).
    """

    alpha: float | None = Field(None, gt=0, le=BOUND)


def alpha_of(options: LoraOptions) -> Any:
    """α; r where none is given."""
    return options.rank if options.alpha is None else options.alpha


def config(options: LoraOptions, targets: Targets, **variant: Any) -> "PeftConfig":
    """PEFT's config."""
    return peft_config("LoraConfig", targets, r=options.rank, lora_alpha=alpha_of(options), **variant)


def _rslora(options: LoraOptions, targets: Targets) -> "PeftConfig":
    return config(options, targets, use_rslora=True)


def _dora(options: LoraOptions, targets: Targets) -> "PeftConfig":
    return config(options, targets, use_dora=True)


def _pissa(options: LoraOptions, targets: Targets) -> "PeftConfig":
    return config(options, targets, init_lora_weights="pissa")


def count(options: RankOptions, d_out: int, d_in: int) -> int:
    """r·(d_in + d_out): A and B."""
    check_rank(options.rank, min(d_out, d_in))
    return options.rank * (d_in + d_out)


def _dora_count(options: RankOptions, d_out: int, d_in: int) -> int:
    """LoRA's and a magnitude for each output."""
    return count(options, d_out, d_in) + d_out


def lora_factors(layer: Any, adapter: str) -> "Factors":
    """(s·B, A) of a LoRA layer, without what a variant or an initialisation does beside them."""
    from neatlab.adapters.factors import Factors

    return Factors(layer.lora_B[adapter].weight * layer.scaling[adapter], layer.lora_A[adapter].weight)


def delta(layer: Any, adapter: str, weight: "Tensor", start: "Factors | None") -> "Delta":
    """s·B A, less what it started as; DoRA's by its own formula."""
    factors = lora_factors(layer, adapter)
    if adapter in layer.lora_variant:
        return _dora_delta(layer, adapter, weight, factors)
    return factors if start is None else _difference(factors, start)


def _dora_delta(layer: Any, adapter: str, weight: "Tensor", factors: "Factors") -> "Tensor":
    """m ⊙ V/‖V‖ − W₀ with V = W₀ + s·B A; the norm is that of each row (Liu et al., arXiv:2402.09353, eq. 5)."""
    if adapter not in layer.lora_magnitude_vector:
        raise BadInput("ΔW of this LoRA variant is not known; METHODS lists the methods that are")
    return dora_change(weight, factors, layer.lora_magnitude_vector[adapter].weight)


def dora_change(weight: "Tensor", factors: "Factors", magnitude: "Tensor") -> "Tensor":
    """m ⊙ V/‖V‖ − W₀ with V = W₀ + s·B A, in the factors' precision.

    Args:
        weight: W₀, d_out × d_in.
        factors: s·B A.
        magnitude: m, d_out.
    """
    direction = weight.to(factors.left.dtype) + factors.dense()
    return (magnitude / direction.norm(dim=1))[:, None] * direction - weight


def _difference(now: "Factors", start: "Factors") -> "Factors":
    """now − start as factors of twice the rank; exactly zero while nothing has changed."""
    import torch

    from neatlab.adapters.factors import Factors

    left, right = torch.cat([now.left, -start.left], 1), torch.cat([now.right, start.right])
    unchanged = torch.equal(now.left, start.left) and torch.equal(now.right, start.right)
    return Factors(torch.zeros_like(left) if unchanged else left, right)


def write_neat(adapted: "Adapted", folder: "PathLike") -> "Errors":
    """NEAT with twice the hidden units."""
    from neatlab.adapters.convert import lora_to_neat

    model: Any = adapted.model
    return lora_to_neat(model, folder)


def _needs_weight(settings: Config) -> bool:
    return bool(settings.get("use_dora") or _initial(settings))


def _initial(settings: Config) -> Config:
    start = settings.get("init_lora_weights")
    return {"init_lora_weights": start} if start in TAKE_FROM_WEIGHT else {}


def _check(settings: Config) -> None:
    start = settings.get("init_lora_weights", True)
    if start not in (*KEEP_WEIGHT, *TAKE_FROM_WEIGHT):
        raise BadInput(f"init_lora_weights={str(start)[:60]!r} changed W₀ itself in a way that cannot be made again")


_HARMLESS = (
    "lora_dropout",
    "init_lora_weights",
    "loftq_config",
    "eva_config",
    "corda_config",
    "lora_ga_config",
    "megatron_core",
    "qalora_group_size",
)


LORA = Method(
    "LoRA",
    LoraOptions,
    config,
    "adapter",
    "ΔW = (α/r)·B A",
    "r·(d_in + d_out)",
    count,
    delta,
    AdapterFiles(
        "LORA",
        ("r", "lora_alpha", "use_rslora", "use_dora", "rank_pattern", "alpha_pattern", "lora_bias"),
        pair_shape("lora_B.weight", "lora_A.weight"),
        _needs_weight,
        harmless=_HARMLESS,
        check=_check,
        initial=_initial,
    ),
    forms={"lora": write_lora, "neat": write_neat, "merged": write_merged},
    factors=("s·B", "A"),
)
RSLORA = replace(LORA, title="rsLoRA", config=_rslora, equation="ΔW = (α/√r)·B A")
DORA = replace(
    LORA,
    title="DoRA",
    config=_dora,
    equation="ΔW = m ⊙ V/‖V‖ − W₀, V = W₀ + (α/r)·B A, norms by row",
    count="r·(d_in + d_out) + d_out",
    params=_dora_count,
    forms={"lora": write_saved, "merged": write_merged},
    rank="rank of B A; ΔW has any",
    magnitudes=True,
    factors=None,
)
PISSA = replace(
    LORA,
    title="PiSSA",
    config=_pissa,
    equation="ΔW = (α/r)·(B A − B₀A₀), B₀A₀ the leading part of W₀",
    forms={"lora": write_lora, "merged": write_merged},
    rank="half the ceiling on the rank of ΔW",
    takes_from_weight=True,
    factors=("s·[B −B₀]", "[A; A₀]"),
    start="0 up to the rounding of W₀ − B₀A₀ + B₀A₀",
)
