"""What a NEAT adapter is: its settings, checked, and the parameters that they cost."""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast, get_args

from peft import PeftConfig

from neatlab.adapters.neat.hidden import activation_names, make_activation
from neatlab.adapters.neat_sizes import Conditioning, Orientation, Residual, neat_parameters
from neatlab.errors import BadInput, unknown


class NeatType(StrEnum):
    """The method's name; a member of an enumeration, for PEFT and transformers read its `.value`."""

    NEAT = "NEAT"


PEFT_TYPE = NeatType.NEAT


@dataclass
class NeatConfig(PeftConfig):
    """Configuration of a NEAT adapter: y = W₀x + s·(f(W₀ᵀ))ᵀ x, f(M) = σ(…σ(M Θ₁)…) Θ_L.

    Args:
        r: Width of the hidden layers and ceiling on the rank of ΔW.
        depth: Number of linear maps L, Θ₁ and Θ_L included, from 2 (PEANuT's `depth=0`).
        activation: σ, a key of `transformers.activations.ACT2FN` or "sin"; "linear" for none.
        residual: "paired" adds the i-th hidden layer from the front to the i-th from the back (even depth
            only); "none" is the plain MLP.
        orientation: "out" maps over d_out (2·r·d_out + (L−2)·r² parameters), "in" over d_in, "auto" the
            cheaper of the two for each layer.
        conditioning: "weight" for f(W₀); "none" puts a free matrix in the place of M Θ₁.
        scaling: s.
        frequency: ω of σ(x) = sin(ωx); for "sin" only.
        init_weights: True starts with Θ_L = 0, so ΔW = 0; False draws Θ_L as the others.
        target_modules: Names or regular expression of the linear layers to adapt.
        exclude_modules: Names or regular expression of layers to leave out.
        modules_to_save: Further modules that train whole, such as a classification head.
        layers_to_transform: Indices of the transformer layers to adapt.
        layers_pattern: Name of the module list that these indices count in.

    Raises:
        BadInput: A value that no layer could be built from.

    Example:
        >>> import neatlab, peft, torch
        >>> config = neatlab.NeatConfig(r=2, depth=3, residual="none", target_modules=["0"])
        >>> model = peft.get_peft_model(torch.nn.Sequential(torch.nn.Linear(8, 4)), config)
        >>> model.get_nb_trainable_parameters()[0]  # 2·r·d_out + (depth − 2)·r²
        20
    """

    r: int = 8
    depth: int = 2
    activation: str = "relu"
    residual: Residual = "paired"
    orientation: Orientation = "out"
    conditioning: Conditioning = "weight"
    scaling: float = 1.0
    frequency: float = 1.0
    init_weights: bool = True
    target_modules: list[str] | str | None = None
    exclude_modules: list[str] | str | None = None
    modules_to_save: list[str] | None = None
    layers_to_transform: list[int] | int | None = None
    layers_pattern: list[str] | str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = cast(Any, PEFT_TYPE)
        for name in ("target_modules", "exclude_modules"):
            if isinstance(getattr(self, name), list):
                setattr(self, name, set(getattr(self, name)))
        self._check_choices()
        self._check_numbers()

    def _check_choices(self) -> None:
        choices = {"residual": Residual, "orientation": Orientation, "conditioning": Conditioning}
        for name, allowed in choices.items():
            if getattr(self, name) not in get_args(allowed):
                raise unknown(name, getattr(self, name), get_args(allowed))
        if self.activation not in activation_names():
            raise unknown("activation", self.activation, activation_names())
        if self.layers_pattern and self.layers_to_transform is None:
            raise BadInput("layers_pattern needs layers_to_transform: it says which module list the indices count in")

    def _check_numbers(self) -> None:
        for name in ("r", "depth"):
            if not isinstance(getattr(self, name), int) or isinstance(getattr(self, name), bool):
                raise BadInput(f"{name}={getattr(self, name)!r} is not a whole number")
        if self.r < 1:
            raise BadInput(f"r={self.r}; the rank must be at least 1")
        if self.depth < 2:
            hint = "; PEANuT's depth=0 is depth=2 here (depth counts Θ₁ and Θ_L)" if self.depth == 0 else ""
            raise BadInput(f"depth={self.depth}; the depth must be at least 2{hint}")
        if self.residual == "paired" and self.depth % 2:
            raise BadInput(
                f"depth={self.depth} with residual='paired'; paired residuals need an even depth: "
                f"take {self.depth - 1} or {self.depth + 1}, or residual='none'"
            )
        for name in ("scaling", "frequency"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not math.isfinite(value):
                raise BadInput(f"{name}={getattr(self, name)}; it must be a finite number")


def parameter_count(config: NeatConfig, d_in: int, d_out: int) -> int:
    """Parameters that one layer of d_out × d_in gets; learned activations ("prelu", "xielu") add their own."""
    by_formula = neat_parameters(config.r, config.depth, config.orientation, config.conditioning, d_in, d_out)
    return by_formula + sum(p.numel() for p in make_activation(config.activation, config.frequency).parameters())
