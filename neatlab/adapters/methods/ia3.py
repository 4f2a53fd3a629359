"""(IA)³: one factor for each output or input."""

from typing import TYPE_CHECKING, Any, Literal

from neatlab.adapters.methods.base import (
    AdapterFiles,
    Config,
    Layers,
    Method,
    PlacedOptions,
    Targets,
    always,
    peft_config,
    unknown_shape,
)

if TYPE_CHECKING:
    from peft import PeftConfig
    from torch import Tensor

    from neatlab.adapters.factors import Factors


class Ia3Options(PlacedOptions):
    """(IA)³ has no rank: one factor for each output ("out", as on keys and values) or input ("in", as in the MLP)."""

    side: Literal["out", "in"] = "out"


def config(options: Ia3Options, targets: Targets) -> "PeftConfig":
    """PEFT's config."""
    return peft_config("IA3Config", targets, feedforward_modules=targets if options.side == "in" else [])


def count(options: Ia3Options, d_out: int, d_in: int) -> int:
    """One for each output or input."""
    return d_out if options.side == "out" else d_in


def delta(layer: Any, adapter: str, weight: "Tensor", start: "Factors | None") -> "Tensor":
    """diag(l − 1) W₀, or W₀ diag(l − 1)."""
    return (layer.ia3_l[adapter] - 1) * weight  # d_out × 1 or 1 × d_in


def _sides(config: Config, layers: Layers) -> Config:
    """Which layers are scaled by input: `feedforward_modules` may be an expression, the tensors are not."""
    return {"feedforward_modules": [name for name, parts in layers.items() if parts["ia3_l"].shape[0] == 1]}


METHOD = Method(
    "(IA)³",
    Ia3Options,
    config,
    "adapter",
    "ΔW = diag(l − 1) W₀, or W₀ diag(l − 1) with side='in'",
    "d_out (d_in with side='in')",
    count,
    delta,
    AdapterFiles(
        "IA3",
        (),
        unknown_shape,
        always,
        (),
        harmless=("init_ia3_weights", "feedforward_modules"),
        adjust=_sides,
    ),
    size=None,
    rank="none; the size is fixed",
)
