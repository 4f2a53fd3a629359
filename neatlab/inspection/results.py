"""The result of an inspection: plain values, tidy tables, words."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from neatlab.inspection.measure import LayerReport
from neatlab.inspection.verdict import Finding, findings
from neatlab.runtime.lazy import lazy

if TYPE_CHECKING:
    import pandas as pd
else:
    pd = lazy("pandas")

LISTS = ("singular_values", "intruder_cosines", "shape", "dora")


@dataclass(frozen=True)
class Inspection:
    """One adapter, or one checkpoint compared with the one before it, layer by layer.

    Args:
        title: What was inspected, for people.
        method: LORA, NEAT, …; "checkpoint" for whole weights.
        settings: The method's settings.
        base: The base's path; None without one.
        layers: A report a layer, in the model's order.
        trained_whole: Tensors that were trained whole, outside these layers.
        left_out: Layer → why its ΔW is not computed.

    Example:
        >>> import neatlab, peft, torch
        >>> lora = peft.LoraConfig(r=2, target_modules=["0"], init_lora_weights=False)
        >>> peft.get_peft_model(torch.nn.Sequential(torch.nn.Linear(8, 4)), lora).save_pretrained("my-adapter")
        >>> inspection = neatlab.inspect("my-adapter")
        >>> inspection.method, inspection.frame()[["layer", "d_out", "d_in"]].to_numpy().tolist()
        ('LORA', [['0', 4, 8]])
    """

    title: str
    method: str
    settings: dict[str, Any]
    base: str | None
    layers: list[LayerReport]
    trained_whole: list[str]
    left_out: dict[str, str]

    @property
    def inspections(self) -> list["Inspection"]:
        """This one; comparisons have several."""
        return [self]

    def verdict(self) -> list[Finding]:
        """What stands out, each with the number behind it and what to try."""
        return findings(self.layers, self.left_out)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; a quantity that does not exist is NaN (null in JSON), and `note` says why."""
        return {
            "adapter": self.title,
            "method": self.method,
            "settings": {name: _plain(value) for name, value in self.settings.items()},
            "base": self.base,
            "verdict": [finding.to_dict() for finding in self.verdict()],
            "layers": [layer.to_dict() for layer in self.layers],
            "trained_whole": self.trained_whole,
            "left_out": self.left_out,
        }

    def rows(self) -> list[dict[str, Any]]:
        """A row a layer: `adapter`, `method`, `layer`, `kind`, `depth`, sizes and each quantity of one number."""
        return [{"adapter": self.title, "method": self.method, **_row(layer)} for layer in self.layers]

    def frame(self) -> "pd.DataFrame":
        """The rows as a table."""
        return pd.DataFrame(self.rows())

    def spectra(self) -> "pd.DataFrame":
        """Singular values in the columns of `Results.spectra()`, so that `plots.spectrum` draws them."""
        rows = [
            {
                "arm": self.title,
                "method": self.method,
                "seed": 0,
                "step": 0,
                "layer": layer.name,
                "singular_values": tuple(layer.spectrum.singular_values.tolist()),
                "effective_rank": layer.spectrum.effective_rank,
            }
            for layer in self.layers
        ]
        return pd.DataFrame(rows)


def _row(layer: LayerReport) -> dict[str, Any]:
    values = layer.to_dict()
    row = {"layer": values.pop("name"), "d_out": layer.shape[0], "d_in": layer.shape[1]}
    dora = values.get("dora") or {}
    row |= {name: value for name, value in values.items() if name not in LISTS}
    return row | {f"dora_{name}": value for name, value in dora.items()}


def _plain(value: Any) -> Any:
    """A setting as JSON can hold it."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, str | int | float | bool | list | dict | None) else str(value)
