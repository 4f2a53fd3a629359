"""FourierFT: some coefficients of ΔW's spectrum."""

from typing import TYPE_CHECKING

from pydantic import Field

from neatlab.adapters.methods.base import (
    BOUND,
    AdapterFiles,
    Method,
    PlacedOptions,
    Targets,
    built_delta,
    never,
    peft_config,
    unknown_shape,
)
from neatlab.errors import BadInput

if TYPE_CHECKING:
    from peft import PeftConfig


class FourierOptions(PlacedOptions):
    """FourierFT has no rank: `n_frequency` coefficients a layer at random places of ΔW's spectrum.

    Args:
        n_frequency: Trained coefficients a layer.
        scaling: Factor on the inverse transform (150 in the paper's vision and GLUE settings).
        places_seed: Seed of the places, the same in every layer.
    """

    n_frequency: int = Field(1000, ge=1, le=2**30)
    scaling: float = Field(150.0, ge=-BOUND, le=BOUND)
    places_seed: int = Field(777, ge=0, lt=2**31)


def config(options: FourierOptions, targets: Targets) -> "PeftConfig":
    """PEFT's config."""
    # PEFT's own default draws the coefficients: the adapted model would not start at the checkpoint.
    return peft_config(
        "FourierFTConfig",
        targets,
        n_frequency=options.n_frequency,
        scaling=options.scaling,
        random_loc_seed=options.places_seed,
        init_weights=True,
    )


def count(options: FourierOptions, d_out: int, d_in: int) -> int:
    """One for each coefficient."""
    if options.n_frequency > d_out * d_in:
        raise BadInput(f"n_frequency={options.n_frequency}; allowed: 1 to {d_out * d_in}")
    return options.n_frequency


METHOD = Method(
    "FourierFT",
    FourierOptions,
    config,
    "adapter",
    "ΔW = s·Re F⁻¹(c)",
    "n_frequency",
    count,
    built_delta,
    AdapterFiles(
        "FOURIERFT",
        ("n_frequency", "scaling", "random_loc_seed", "n_frequency_pattern"),
        unknown_shape,
        never,
        ("n_frequency",),
    ),
    size="n_frequency",
    rank="none; n_frequency sets the size",
)
