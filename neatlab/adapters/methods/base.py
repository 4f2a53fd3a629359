"""What a method is, and what several of them share. Neither torch nor PEFT is needed to list the methods."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import Field

from neatlab.adapters.forms import write_merged
from neatlab.errors import BadInput
from neatlab.schema import Schema

if TYPE_CHECKING:
    from peft import PeftConfig
    from torch import Tensor

    from neatlab.adapters.factors import Delta, Factors
    from neatlab.adapters.forms import Writer

Targets = list[str]
Parts = Mapping[str, "Tensor"]  # what follows the layer's name → tensor
Layers = Mapping[str, Parts]
Config = Mapping[str, Any]  # what adapter_config.json says
Shape = tuple[int, int]

MAX_RANK = 4096
BOUND = 1e6  # on scalings: beyond it float32 has nothing left


EVERY_BLOCK, TASKS_OWN, LINEAR = "all", "task", "linear"
BLOCKS = r"all|first|last|\d{1,4}(-\d{1,4})?"
MODULES = r"[A-Za-z_][\w.]*(\+[A-Za-z_][\w.]*)*"


class PlacedOptions(Schema):
    """Where the adapters go.

    `layers` is "all", "first", "last", a number or a range such as "4-11", both ends included, counted from 0 as PEFT's
    `layers_to_transform`. `modules` is "task" for the task's own targets, "linear" for every linear layer but the head,
    or names joined by "+".
    """

    layers: str = Field(EVERY_BLOCK, pattern=rf"^({BLOCKS})$")
    modules: str = Field(TASKS_OWN, pattern=rf"^{MODULES}$", max_length=200)

    def range_of(self, count: int) -> tuple[int, int]:
        """First and last of `count` blocks that `layers` names."""
        words = {EVERY_BLOCK: (0, count - 1), "first": (0, 0), "last": (count - 1, count - 1)}
        if self.layers in words:
            return words[self.layers]
        first, _, last = self.layers.partition("-")
        return int(first), int(last or first)


class RankOptions(PlacedOptions):
    """Options of a method that has its rank alone."""

    rank: int = Field(4, ge=1, le=MAX_RANK)


def unknown_shape(parts: Parts, config: Config) -> Shape | None:
    """None: the tensors do not tell the layer's shape."""
    return None


def pair_shape(left: str, right: str) -> Callable[[Parts, Config], Shape | None]:
    """Shapes from a d_out × r and an r × d_in tensor."""

    def shape(parts: Parts, config: Config) -> Shape | None:
        if left not in parts or right not in parts:
            return None
        return parts[left].shape[0], parts[right].shape[-1]

    return shape


def never(config: Config) -> bool:
    """W₀ is not needed, whatever the settings."""
    return False


def always(config: Config) -> bool:
    """W₀ is needed, whatever the settings."""
    return True


def accept(config: Config) -> None:
    """Every setting among `fields` is known."""


def as_saved(config: Config, layers: Layers) -> Config:
    """PEFT takes the settings as it saved them."""
    return {}


def leaves_weight(config: Config) -> Config:
    """Nothing has to be made again: the start left W₀ as it was."""
    return {}


def layer_rank(layer: Any) -> int | None:
    """The rank that PEFT's layer was given under "default", in its field r; None without one."""
    ranks = getattr(layer, "r", None) or {}
    return int(ranks["default"]) if "default" in ranks else None


def no_rank(layer: Any) -> None:
    """The method has no rank, whatever its layers call r."""


@dataclass(frozen=True)
class AdapterFiles:
    """What the files of one type of PEFT adapter hold, and what it takes to compute ΔW from them.

    Args:
        type: PEFT's name of the type.
        fields: Settings that ΔW depends on.
        shape: (d_out, d_in) from a layer's tensors and the settings; None where they do not tell.
        needs_weight: Whether ΔW depends on W₀, given the settings.
        bounded: Settings that cannot exceed the largest side of the tensors.
        harmless: Settings of this type alone that have no bearing on ΔW.
        shared: Names of tensors that all layers share.
        max_dims: Dimensions that a linear layer's tensors have at most; more belong to a convolution.
        check: Refuses settings whose ΔW is not known.
        adjust: Settings and layers → what PEFT's config takes in place of what it saved.
        initial: Settings → those that make again from W₀ what the start took out of it; {} where it took nothing.
        rank: PEFT's layer → the rank that was asked for; None for methods without one.
        indices: Names of tensors that hold whole numbers.
    """

    type: str
    fields: tuple[str, ...]
    shape: Callable[[Parts, Config], Shape | None] = unknown_shape
    needs_weight: Callable[[Config], bool] = never
    bounded: tuple[str, ...] = ("r",)
    harmless: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()
    max_dims: int = 2
    check: Callable[[Config], None] = accept
    adjust: Callable[[Config, Layers], Config] = as_saved
    initial: Callable[[Config], Config] = leaves_weight
    rank: Callable[[Any], int | None] = layer_rank
    indices: tuple[str, ...] = ()


class Network(NamedTuple):
    """The matrices that make one factor of ΔW out of W₀; the other factor is s·Θ_L.

    Args:
        over: Which side of W₀ is mapped: "out" makes the right factor of ΔW, "in" the left one.
        before: What the first σ is applied to, r × n.
        first: Θ₁ᵀ, r × m; None where a free matrix stands in the place of Θ₁ᵀW₀.
        inner: Θ₂ᵀ … Θ_{L−1}ᵀ, each r × r.
    """

    over: Literal["out", "in"]
    before: "Tensor"
    first: "Tensor | None"
    inner: "list[Tensor]"


@dataclass(frozen=True)
class Method:
    """One row of METHODS.

    Args:
        title: Its name for people.
        options: Schema of its options.
        config: Options and target modules → PEFT config; None for methods without an adapter.
        trains: What gets a gradient: the adapter and head ("adapter"), the head alone, or everything ("all").
        equation: ΔW in the field's notation.
        count: Its parameters for one layer of d_out × d_in, as a formula.
        params: (options, d_out, d_in) → adapter parameters of one layer, raising BadInput where it cannot be
            built; None where the target layers do not determine the count.
        delta: (layer, adapter, W₀, its first factors if it took these out of W₀) → ΔW as d_out × d_in, thin
            factors where it has them; None for methods without an adapter.
        files: What its adapter files hold; None for methods without an adapter.
        forms: Form that its adapters can be exported in → what writes it; the names are keys of FORMS.
        size: The option that sets the parameter count; None where nothing does.
        rank: What rank means, for people.
        lr_factor: Its default learning rate as a multiple of the task's default for adapters.
        start: ΔW before the first step.
        takes_from_weight: Whether its start takes the first factors out of W₀, which ΔW is then counted from.
        fits_conv1d: Whether PEFT has it on transformers' Conv1D as well as on nn.Linear.
        magnitudes: Whether it has a magnitude for each output, which LoRA holds as DoRA.
        factors: Names of the thin factors of ΔW, d_out × r and r × d_in, of a network the last map and what it maps;
            None where ΔW has none.
        network: (layer, adapter, W₀) → the network of W₀ that makes its factors; None where none does.
    """

    title: str
    options: type[Schema]
    config: Callable[[Any, Targets], "PeftConfig"] | None
    trains: str
    equation: str
    count: str
    params: Callable[[Any, int, int], int] | None
    delta: Callable[[Any, str, "Tensor", "Factors | None"], "Delta"] | None
    files: AdapterFiles | None
    forms: Mapping[str, "Writer"] = field(default_factory=lambda: {"merged": write_merged})
    size: str | None = "rank"
    rank: str = "ceiling on the rank of ΔW"
    lr_factor: float = 1.0
    start: str = "0"
    takes_from_weight: bool = False
    fits_conv1d: bool = True
    magnitudes: bool = False
    factors: tuple[str, str] | None = None
    network: Callable[[Any, str, "Tensor"], Network] | None = None

    @property
    def served_as_lora(self) -> str:
        """Whether what serves LoRA serves its adapters: "yes", "as DoRA", or "merged only"."""
        if "lora" not in self.forms:
            return "merged only"
        return "as DoRA" if self.magnitudes else "yes"


def peft_config(name: str, targets: Targets, **settings: Any) -> "PeftConfig":
    """One of PEFT's configs; PEFT is imported here, so that the table alone costs no second of imports."""
    return getattr(import_module("peft"), name)(target_modules=targets, **settings)


def built_delta(layer: Any, adapter: str, weight: "Tensor", start: "Factors | None") -> "Tensor":
    """ΔW as PEFT builds it."""
    return layer.get_delta_weight(adapter)


def check_rank(rank: int, limit: int) -> None:
    """Refuse a rank that a layer cannot hold.

    Raises:
        BadInput: A rank above the limit.
    """
    if rank > limit:
        raise BadInput(f"rank={rank} is above the layer's size; allowed: 1 to {limit}")
