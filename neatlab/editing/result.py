"""What acts did to an adapter, in figures."""

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from neatlab.runtime.lazy import lazy

if TYPE_CHECKING:
    import pandas as pd

    from neatlab.editing.proof import Proof
else:
    pd = lazy("pandas")


@dataclass(frozen=True)
class LayerEdit:
    """One layer before and after.

    Args:
        layer: Its name.
        d_out: Outputs.
        d_in: Inputs.
        rank_before: r of its thin factors; None without, or where the layer came in by a merge.
        rank_after: The same of what was written; 0 where the layer was taken out.
        parameters_before: Numbers in its tensors.
        parameters_after: The same of what was written.
        norm: ‖ΔW‖_F of what the result is held against: the adapter as it was opened, or the exact sum of a merge.
        relative_frobenius: ‖ΔW′ − ΔW‖_F/‖ΔW‖_F of the numbers that were written; NaN where ΔW = 0.
        relative_spectral: The same in the spectral norm.
    """

    layer: str
    d_out: int
    d_in: int
    rank_before: int | None
    rank_after: int | None
    parameters_before: int
    parameters_after: int
    norm: float
    relative_frobenius: float
    relative_spectral: float


@dataclass(frozen=True)
class Edit:
    """What `edit` did.

    Args:
        adapter: What was edited, for people.
        acts: The acts, as they were written.
        out: The folder with the result.
        type_before: PEFT's name of the adapter's type.
        type_after: The same of the result.
        bytes_before: Of the file with the tensors.
        bytes_after: The same of the result.
        layers: A row a layer.
        proof: The scores before and after, where a task was given.

    Example:
        >>> import neatlab, peft, torch
        >>> lora = peft.LoraConfig(r=4, target_modules=["0"], init_lora_weights=False)
        >>> peft.get_peft_model(torch.nn.Sequential(torch.nn.Linear(8, 8)), lora).save_pretrained("of-rank-4")
        >>> edit = neatlab.edit("of-rank-4", ["compress:rank=2"], out="of-rank-2")
        >>> edit.parameters_before, edit.parameters_after, [layer.rank_after for layer in edit.layers]
        (64, 32, [2])
    """

    adapter: str
    acts: tuple[str, ...]
    out: str
    type_before: str
    type_after: str
    bytes_before: int
    bytes_after: int
    layers: tuple[LayerEdit, ...]
    proof: "Proof | None" = None

    @property
    def parameters_before(self) -> int:
        """Numbers in the layers' tensors."""
        return sum(layer.parameters_before for layer in self.layers)

    @property
    def parameters_after(self) -> int:
        """The same of the result."""
        return sum(layer.parameters_after for layer in self.layers)

    @property
    def relative_frobenius(self) -> float:
        """√Σ‖ΔW′ − ΔW‖²_F over √Σ‖ΔW‖²_F, all layers together; NaN where all ΔW = 0."""
        changed = [layer for layer in self.layers if layer.norm > 0]
        total = math.fsum(layer.norm**2 for layer in changed)
        error = math.fsum((layer.relative_frobenius * layer.norm) ** 2 for layer in changed)
        return math.sqrt(error / total) if changed else math.nan

    @property
    def relative_spectral(self) -> float:
        """The largest of any layer; NaN where all ΔW = 0."""
        return max((layer.relative_spectral for layer in self.layers if layer.norm > 0), default=math.nan)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; NaN, where ΔW = 0, becomes null there."""
        values = asdict(self)
        names = ("parameters_before", "parameters_after", "relative_frobenius", "relative_spectral")
        layers = values.pop("layers")
        return {**values, **{name: getattr(self, name) for name in names}, "layers": list(layers)}

    def frame(self) -> "pd.DataFrame":
        """A row a layer."""
        return pd.DataFrame([asdict(layer) for layer in self.layers])
