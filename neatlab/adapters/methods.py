"""METHODS: every way of adapting a model that an arm can name. One row a method."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from peft import LoraConfig, PeftConfig
from pydantic import Field

from neatlab.adapters.neat import Conditioning, NeatConfig, Orientation, Residual
from neatlab.schema import Schema

Targets = list[str]


class NoOptions(Schema):
    """Options of a method that has none."""


class LoraOptions(Schema):
    """LoRA, ΔW = (α/r)·BA (Hu et al., arXiv:2106.09685); α = r by default, so that its scaling is NEAT's."""

    rank: int = Field(4, ge=1, le=4096)
    alpha: float | None = Field(None, gt=0, le=1e6)


class NeatOptions(Schema):
    """NEAT, ΔW = f(W₀); the names are `NeatConfig`'s, with `rank` for r."""

    rank: int = Field(4, ge=1, le=4096)
    depth: int = Field(2, le=64)
    activation: str = "relu"
    residual: Residual = "paired"
    orientation: Orientation = "out"
    conditioning: Conditioning = "weight"
    scaling: float = Field(1.0, ge=-1e6, le=1e6)
    frequency: float = Field(1.0, ge=-1e6, le=1e6)

    def model_post_init(self, context: Any, /) -> None:
        """Let `NeatConfig` refuse what no layer could be built from, before any model is loaded."""
        _neat_config(self, [])


@dataclass(frozen=True)
class Method:
    """One row of METHODS.

    Args:
        title: Its name for people.
        options: Schema of its options.
        config: Options and target modules → PEFT config; None for methods without an adapter.
        trains: What gets a gradient: the adapter and head, the head alone, or everything.
        lr_factor: Its default learning rate as a multiple of the task's default for adapters.
        equation: ΔW in the field's notation.
    """

    title: str
    options: type[Schema]
    config: Callable[[Any, Targets], PeftConfig] | None
    trains: str
    equation: str
    lr_factor: float = 1.0


def _lora_config(options: LoraOptions, targets: Targets) -> PeftConfig:
    alpha: Any = options.rank if options.alpha is None else options.alpha
    return LoraConfig(r=options.rank, lora_alpha=alpha, target_modules=targets)


def _neat_config(options: NeatOptions, targets: Targets) -> PeftConfig:
    settings = options.model_dump()
    return NeatConfig(r=settings.pop("rank"), target_modules=targets, **settings)


METHODS: dict[str, Method] = {
    "lora": Method("LoRA", LoraOptions, _lora_config, "adapter", "ΔW = (α/r)·B A"),
    "neat": Method("NEAT", NeatOptions, _neat_config, "adapter", "ΔW = s·f(W₀ᵀ)ᵀ"),
    "full": Method("full fine-tuning", NoOptions, None, "all", "ΔW free", lr_factor=0.05),
    "head": Method("head only", NoOptions, None, "head", "ΔW = 0"),
}
