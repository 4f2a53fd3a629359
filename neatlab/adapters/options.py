"""What each method can be told: one schema a method, and what `rank` means in it."""

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from neatlab.adapters.choices import Conditioning, Orientation, Residual
from neatlab.errors import unknown
from neatlab.schema import Schema

if TYPE_CHECKING:
    from neatlab.adapters.neat_config import NeatConfig

MAX_RANK = 4096
BOUND = 1e6  # on scalings: beyond it float32 has nothing left


class NoOptions(Schema):
    """Options of a method that has none."""


class RankOptions(Schema):
    """Options of a method that has its rank alone."""

    rank: int = Field(4, ge=1, le=MAX_RANK)


class LoraOptions(RankOptions):
    """LoRA and its relatives: `rank` is r; `alpha` is r by default, so that LoRA's scaling α/r is 1 as NEAT's.

    rsLoRA scales by α/√r instead (Kalajdzievski, arXiv:2312.03732).
    """

    alpha: float | None = Field(None, gt=0, le=BOUND)


class NeatOptions(RankOptions):
    """NEAT, ΔW = f(W₀); the names are `NeatConfig`'s, with `rank` for r, the width of the hidden layers."""

    depth: int = Field(2, le=64)
    activation: str = "relu"
    residual: Residual = "paired"
    orientation: Orientation = "out"
    conditioning: Conditioning = "weight"
    scaling: float = Field(1.0, ge=-BOUND, le=BOUND)
    frequency: float = Field(1.0, ge=-BOUND, le=BOUND)

    def model_post_init(self, context: Any, /) -> None:
        """Let `NeatConfig` refuse what no layer could be built from, before any model is loaded."""
        neat_config(self, [])


class PeanutOptions(RankOptions):
    """PEFT's own PEANuT: `rank` is r; `pairs` is what its config calls depth, NEAT's depth = 2·pairs + 2."""

    pairs: int = Field(0, ge=0, le=31)
    activation: str = "relu"
    scaling: float = Field(1.0, ge=-BOUND, le=BOUND)

    def model_post_init(self, context: Any, /) -> None:
        """Refuse an activation that PEFT does not know."""
        from transformers.activations import ACT2FN

        if self.activation not in ACT2FN:
            raise unknown("activation", self.activation, ACT2FN)


class VeraOptions(Schema):
    """VeRA: `rank` is that of the frozen random matrices, so it costs one parameter a unit and may exceed the layer.

    Args:
        rank: r of the two shared frozen matrices.
        initial: Start value of the inner scale d (0.1 in the paper).
        projection_seed: Seed of the frozen matrices.
    """

    rank: int = Field(256, ge=1, le=65_536)
    initial: float = Field(0.1, ge=-BOUND, le=BOUND)
    projection_seed: int = Field(0, ge=0, lt=2**31)


class FourierOptions(Schema):
    """FourierFT has no rank: `n_frequency` coefficients a layer at random places of ΔW's spectrum.

    Args:
        n_frequency: Trained coefficients a layer.
        scaling: Factor on the inverse transform (150 in the paper's vision and GLUE settings).
        places_seed: Seed of the places, the same in every layer.
    """

    n_frequency: int = Field(1000, ge=1, le=2**30)
    scaling: float = Field(150.0, ge=-BOUND, le=BOUND)
    places_seed: int = Field(777, ge=0, lt=2**31)


class Ia3Options(Schema):
    """(IA)³ has no rank: one factor for each output ("out", as on keys and values) or input ("in", as in the MLP)."""

    side: Literal["out", "in"] = "out"


class LokrOptions(LoraOptions):
    """LoKr: `rank` is that of the larger Kronecker factor; from half that factor's size on it is kept whole.

    Args:
        factor: Size wanted for the smaller Kronecker factor; −1 as near the square root as the layer divides.
    """

    factor: int = Field(-1, ge=-1, le=MAX_RANK)


class OftOptions(Schema):
    """OFT has no rank: the input is turned in blocks of `block_size`, each by its own orthogonal matrix."""

    block_size: int = Field(32, ge=2, le=MAX_RANK)


def neat_config(options: NeatOptions, targets: list[str]) -> "NeatConfig":
    """The PEFT config that these options stand for; PEFT is imported only here, so that a form opens without it."""
    from neatlab.adapters.neat_config import NeatConfig

    settings = options.model_dump()
    return NeatConfig(r=settings.pop("rank"), target_modules=targets, **settings)
