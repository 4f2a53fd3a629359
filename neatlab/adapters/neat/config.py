"""What a NEAT adapter is: its settings, checked, and the parameters that they cost."""

import math
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, cast, get_args

import torch
from peft import PeftConfig

from neatlab.adapters.neat.card import add_section
from neatlab.adapters.neat.hidden import activation_names, make_activation
from neatlab.adapters.neat_sizes import Conditioning, Orientation, Residual, neat_parameters, sides
from neatlab.errors import BadInput, unknown

# What other methods call it → what to say.
ELSEWHERE = {
    "lora_alpha": "here it is scaling, which is lora_alpha / r there",
    "alpha": "here it is scaling, which is alpha / r there",
    "use_rslora": "here it is scaling",
    "alpha_pattern": "here it is scaling_pattern",
    "lora_dropout": "here it is dropout",
    "act_fn": "here it is activation",
    "rank": "here it is r",
    "init_lora_weights": "here it is init_weights",
    "target_parameters": "NEAT adapts layers, which target_modules names, and no bare parameters",
}


Bias = Literal["none", "all", "neat_only"]


class UnknownField(BadInput, TypeError):
    """A field that `NeatConfig` does not have; PEFT looks for a TypeError when it reads a file of a later version."""


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
        dropout: Probability with which the update's input is dropped while training, as LoRA's `lora_dropout`.
        frequency: ω of σ(x) = sin(ωx); for "sin" only.
        rank_pattern: Name or regular expression of layers → their r, where it is not the common one.
        scaling_pattern: The same for s.
        use_dora: Whether the rows of W₀ + ΔW get magnitudes that train, as DoRA's (arXiv:2402.09353), on linear layers;
            the whole change then has any rank, and is exactly a DoRA's.
        bias: Which biases train: "none", "all", or those of the adapted layers, "neat_only".
        init_weights: True starts with Θ_L = 0, so ΔW = 0; "calibrated" rescales Θ₁ besides, so that H has the root mean
            square of the matrix that LoRA draws for the layer; False draws Θ_L as the others.
        target_modules: Names or regular expression of the layers to adapt: linear, plain or quantised by bitsandbytes,
            torchao or HQQ; embeddings; convolutions of one group.
        exclude_modules: Names or regular expression of layers to leave out.
        modules_to_save: Further modules that train whole, such as a classification head.
        trainable_token_indices: Rows of the input embedding that train whole, such as those of new tokens; by the name
            of a layer, its rows.
        ensure_weight_tying: Whether what shares its weight with the input embedding shares its adapter, or its copy in
            modules_to_save, too.
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
    dropout: float = 0.0
    rank_pattern: dict[str, int] = field(default_factory=dict)
    scaling_pattern: dict[str, float] = field(default_factory=dict)
    use_dora: bool = False
    bias: Bias = "none"
    init_weights: bool | Literal["calibrated"] = True
    target_modules: list[str] | str | None = None
    exclude_modules: list[str] | str | None = None
    modules_to_save: list[str] | None = None
    trainable_token_indices: list[int] | dict[str, list[int]] | None = None
    ensure_weight_tying: bool = False
    layers_to_transform: list[int] | int | None = None
    layers_pattern: list[str] | str | None = None

    def __new__(cls, *_: Any, **named: Any) -> "NeatConfig":
        allowed = {one.name for one in fields(cls)}
        for name in named:
            if name not in allowed:
                close = next((f"here it is {one}" for one in get_close_matches(name, allowed, n=1)), None)
                hint = ELSEWHERE.get(name) or close or f"allowed: {', '.join(sorted(allowed))}"
                raise UnknownField(f"NeatConfig got an unexpected keyword argument {name!r}; {hint}")
        return super().__new__(cls)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = cast(Any, PEFT_TYPE)
        for name in ("target_modules", "exclude_modules"):
            if isinstance(getattr(self, name), list):
                setattr(self, name, set(getattr(self, name)))
        self._check_choices()
        self._check_numbers()
        self._check_depth()

    def save_pretrained(self, save_directory: str, **kwargs: Any) -> None:
        """Write the configuration, and into PEFT's model card what loading needs."""
        super().save_pretrained(save_directory, **kwargs)
        add_section(Path(save_directory))

    def _check_choices(self) -> None:
        choices = {"residual": Residual, "orientation": Orientation, "conditioning": Conditioning, "bias": Bias}
        for name, allowed in choices.items():
            if getattr(self, name) not in get_args(allowed):
                raise unknown(name, getattr(self, name), get_args(allowed))
        if self.activation not in activation_names():
            raise unknown("activation", self.activation, activation_names())
        self._check_start()
        if self.layers_pattern and self.layers_to_transform is None:
            raise BadInput("layers_pattern needs layers_to_transform: it says which module list the indices count in")

    def _check_start(self) -> None:
        if self.init_weights not in (True, False, "calibrated"):
            raise unknown("init_weights", self.init_weights, ["True", "False", "calibrated"])
        if self.init_weights == "calibrated" and float(make_activation(self.activation)(torch.zeros(1)).abs().max()):
            raise BadInput(
                f"init_weights='calibrated' with activation={self.activation!r}, which is not 0 at 0: no scale of Θ₁ "
                "makes H as small as LoRA's A"
            )

    def _check_numbers(self) -> None:
        ranks = [("r", self.r), *_named("rank_pattern", self.rank_pattern)]
        for name, value in [*ranks, ("depth", self.depth)]:
            if not isinstance(value, int) or isinstance(value, bool):
                raise BadInput(f"{name}={value!r} is not a whole number")
        for name, value in ranks:
            if value < 1:
                raise BadInput(f"{name}={value}; the rank must be at least 1")
        scalings = [("scaling", self.scaling), *_named("scaling_pattern", self.scaling_pattern)]
        for name, value in [*scalings, ("frequency", self.frequency)]:
            if not isinstance(value, int | float) or not math.isfinite(value):
                raise BadInput(f"{name}={value}; it must be a finite number")
        if not isinstance(self.dropout, int | float) or not 0 <= self.dropout < 1:
            raise BadInput(f"dropout={self.dropout!r}; allowed: from 0 to below 1")

    def _check_depth(self) -> None:
        if self.depth < 2:
            hint = "; PEANuT's depth=0 is depth=2 here (depth counts Θ₁ and Θ_L)" if self.depth == 0 else ""
            raise BadInput(f"depth={self.depth}; the depth must be at least 2{hint}")
        if self.residual == "paired" and self.depth % 2:
            raise BadInput(
                f"depth={self.depth} with residual='paired'; paired residuals need an even depth: "
                f"take {self.depth - 1} or {self.depth + 1}, or residual='none'"
            )


def _named(field: str, pattern: dict[str, Any]) -> list[tuple[str, Any]]:
    return [(f"{field}[{name!r}]", value) for name, value in pattern.items()]


def theta_shapes(config: NeatConfig, d_in: int, d_out: int) -> list[tuple[int, int]]:
    """Shapes of Θ₁ᵀ, …, Θ_{L−1}ᵀ and Θ_L on one layer of d_out × d_in."""
    mapped, other = sides(config.orientation, d_in, d_out)
    first = mapped if config.conditioning == "weight" else other
    return [(config.r, first), *[(config.r, config.r)] * (config.depth - 2), (config.r, mapped)]


def parameter_count(config: NeatConfig, d_in: int, d_out: int) -> int:
    """Parameters that one layer of d_out × d_in gets; learned activations ("prelu", "xielu") add their own."""
    by_formula = neat_parameters(config.r, config.depth, config.orientation, config.conditioning, d_in, d_out)
    by_formula += d_out if config.use_dora else 0
    return by_formula + sum(p.numel() for p in make_activation(config.activation, config.frequency).parameters())
