"""An adapter while acts work on it: nothing is computed before it is written, layer by layer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from neatlab.adapters.factors import Delta, Factors
from neatlab.adapters.methods.base import Parts
from neatlab.adapters.methods.lora import dora_change
from neatlab.errors import BadInput
from neatlab.inspection.image_names import ImageNames
from neatlab.tasks.spec import TaskSpec

Shape = tuple[int, int]


@dataclass(frozen=True)
class Update:
    """One layer's change.

    Args:
        delta: ΔW; of DoRA s·B A, which turns W₀'s rows.
        magnitude: DoRA's m, d_out; None of others.
        parts: The layer's tensors as the files of the adapter's type hold them; without meaning once an act has left
            the type.
    """

    delta: Delta
    magnitude: Tensor | None = None
    parts: Parts | None = None

    @property
    def rank(self) -> int | None:
        """r of the thin factors; None where there are none."""
        return self.delta.rank if isinstance(self.delta, Factors) else None

    def change(self, weight: Callable[[], Tensor]) -> Delta:
        """ΔW against W₀, which is read for DoRA alone."""
        if self.magnitude is None or not isinstance(self.delta, Factors):
            return self.delta
        return dora_change(weight().double(), self.delta.to(torch.float64), self.magnitude.double())


@dataclass(frozen=True)
class Origin:
    """What was opened.

    Args:
        title: Its name, for people.
        path: Its folder.
        task: What a run, or what the lab exported of one, was trained on; None of other adapters.
        type: PEFT's name of its type.
        bytes: Of its tensors' file.
        parameters: Layer → numbers in its tensors.
    """

    title: str
    path: Path
    task: TaskSpec | None
    type: str
    bytes: int
    parameters: Mapping[str, int]


@dataclass(frozen=True)
class Editable:
    """An adapter as the acts so far have left it.

    Args:
        origin: What was opened.
        settings: What its adapter_config.json says, or will say.
        shapes: Layer → (d_out, d_in), in the model's order.
        all_shapes: The same with the layers that were taken out.
        read: Layer → its change.
        reference: Layer → ΔW that the result is held against: as it was opened, or the exact sum of a merge.
        base_weight: Layer → W₀, d_out × d_in; None without a base.
        whole: Tensors that were trained whole, outside the layers, by their names in the file.
        shared: Tensors that all layers share, by their names in the file.
        unsupported: Layer → why no act knows its ΔW.
        dtype: What tensors are written in.
        thin: Whether every layer has thin factors.
        keeps_type: Whether the parts of every layer hold its change.
        open: Opens another adapter on the same base.
        gradient: (layer, training examples) → ∂loss/∂W of the adapter as it was opened, d_out × d_in; None without a
            task.
        kernels: Layers that are convolutions → d_in and the sides of the kernel.
        image: How a LoRA file of the image world calls its layers' tensors; None of PEFT's adapters.
    """

    origin: Origin
    settings: Mapping[str, Any]
    shapes: Mapping[str, Shape]
    all_shapes: Mapping[str, Shape]
    read: Callable[[str], Update]
    reference: Callable[[str], Delta]
    base_weight: Callable[[str], Tensor | None]
    whole: Mapping[str, Tensor]
    shared: Mapping[str, Tensor]
    unsupported: Mapping[str, str]
    dtype: torch.dtype
    thin: bool
    keeps_type: bool
    open: Callable[[str], "Editable"]
    gradient: Callable[[str, int], Tensor] | None = None
    kernels: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    image: ImageNames | None = None

    @property
    def type(self) -> str:
        """PEFT's name of the type that its tensors are of."""
        return str(self.settings["peft_type"]) if self.keeps_type else "LORA"

    @property
    def is_dora(self) -> bool:
        """Whether each layer has a magnitude beside its factors."""
        return self.settings.get("peft_type") == "LORA" and bool(self.settings.get("use_dora"))

    def weight(self, layer: str, who: str = "ΔW of DoRA") -> Tensor:
        """W₀ of a layer.

        Raises:
            BadInput: There is no base; says who needs it.
        """
        weight = self.base_weight(layer)
        if weight is None:
            raise BadInput(f"{who} needs W₀; give the model with --base")
        return weight

    def map(self, work: Callable[[str, Update], Update], **changes: Any) -> "Editable":
        """The adapter with `work` done on each layer when it is read."""
        return replace(self, read=lambda name: work(name, self.read(name)), **changes)

    def as_lora(self, work: Callable[[str, Update], Update], who: str) -> "Editable":
        """`map` for work on thin factors, whose result is written as LoRA; DoRA as DoRA.

        Raises:
            BadInput: A type whose ΔW has no thin factors.
        """
        if not self.thin:
            raise BadInput(
                f"{who}: ΔW of this {self.origin.type} adapter has no thin factors; put compress before it, "
                "such as --act compress:rank=8"
            )
        return self.map(work, keeps_type=False)
