"""What the Understand tab computes: sizes of a layer at once, a construction on a real layer in a process."""

from typing import Any, Literal, Self

from pydantic import Field

from neatlab.adapters.activations import COMPARED
from neatlab.adapters.methods.base import RankOptions
from neatlab.adapters.methods.lora import count
from neatlab.adapters.neat_sizes import Orientation, maps_out, neat_parameters
from neatlab.dashboard.shared.choices import offered_task
from neatlab.errors import BadInput
from neatlab.schema import Schema
from neatlab.tasks import TaskField

MAX_SIDE = 65_536  # inputs or outputs of a layer
MAX_DEPTH = 16


class LayerSizes(Schema):
    """A layer and a rank, for the formulas.

    Args:
        d_in: Inputs.
        d_out: Outputs.
        rank: r.
        depth: NEAT's linear maps L.
        orientation: The side that NEAT maps over.
        activation: σ; it does not change a count.
    """

    d_in: int = Field(256, ge=1, le=MAX_SIDE)
    d_out: int = Field(64, ge=1, le=MAX_SIDE)
    rank: int = Field(4, ge=1, le=4096)
    depth: int = Field(2, ge=2, le=MAX_DEPTH)
    orientation: Orientation = "auto"
    activation: Literal[COMPARED] = "relu"  # type: ignore[valid-type]

    @classmethod
    def check(cls, *values: Any) -> Self:
        """The sizes, in the order of the fields.

        Raises:
            BadInput: A value out of range, or a rank above the layer's size.
        """
        sizes = cls.parse(dict(zip(cls.model_fields, values, strict=True)), "the layer")
        if sizes.rank > sizes.limit:
            raise BadInput(f"rank={sizes.rank} is above the layer's size; allowed: 1 to {sizes.limit}")
        return sizes

    @property
    def limit(self) -> int:
        """The highest rank that the layer allows."""
        return min(self.d_in, self.d_out)

    @property
    def over_outputs(self) -> bool:
        """Whether NEAT's f maps over the outputs."""
        return maps_out(self.orientation, self.d_in, self.d_out)

    @property
    def mapped(self) -> int:
        """n, the length of the vectors that f acts on."""
        return self.d_out if self.over_outputs else self.d_in

    @property
    def lora(self) -> int:
        """LoRA's parameters at this rank."""
        return self.lora_at(self.rank)

    @property
    def neat(self) -> int:
        """NEAT's parameters at this rank."""
        return self.neat_at(self.rank)

    def lora_at(self, rank: int) -> int:
        """LoRA's parameters at another rank."""
        return count(RankOptions(rank=rank), self.d_out, self.d_in)

    def neat_at(self, rank: int) -> int:
        """NEAT's parameters at another rank."""
        return neat_parameters(rank, self.depth, self.orientation, "weight", self.d_in, self.d_out)

    @property
    def neat_rank(self) -> int:
        """The rank at which NEAT comes nearest to LoRA's count at r; of two equally near, the smaller."""
        return min(range(1, min(self.limit, 4096) + 1), key=lambda rank: abs(self.neat_at(rank) - self.lora))


class ContainsOrder(Schema):
    """A LoRA of rank r to be written as NEAT with 2r hidden units, on every target layer of a task's base model."""

    task: TaskField
    rank: int = Field(4, ge=1, le=512)

    @classmethod
    def check(cls, task: Any, rank: Any) -> Self:
        """The order, or why not.

        Raises:
            BadInput: Another task, or a rank out of range.
        """
        return cls.parse({"task": offered_task(task), "rank": rank}, "the construction")


class Side(Schema):
    """The construction on a side of a layer.

    Args:
        rows: Rows of M.
        columns: Columns of M.
        rank: Its rank.
        condition: Its largest singular value over its smallest; None where that is zero.
        error: ‖ΔW_NEAT − PQ‖_F / ‖PQ‖_F.
    """

    rows: int
    columns: int
    rank: int
    condition: float | None
    error: float

    @property
    def full(self) -> bool:
        """Whether M has full row rank, the condition of the proposition."""
        return self.rank == self.rows


class Layer(Schema):
    """Both sides of a layer: "out" with M = W₀ᵀ, "in" with M = W₀."""

    name: str
    out: Side
    inward: Side
