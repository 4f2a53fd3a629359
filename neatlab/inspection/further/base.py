"""What a further type is, and what its rule is given."""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any

from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from torch import Tensor

import neatlab.adapters.neat  # noqa: F401  # registers the type NEAT
from neatlab.adapters.factors import Delta
from neatlab.adapters.methods import AdapterFiles
from neatlab.adapters.methods.base import Parts
from neatlab.errors import BadInput

Shape = tuple[int, int]


def defaults_of(kind: str) -> dict[str, Any]:
    """PEFT's settings of a type where a file says nothing; no config is made, which some types cannot of these.

    Args:
        kind: PEFT's name of the type.
    """
    rows = fields(PEFT_TYPE_TO_CONFIG_MAPPING[kind])  # type: ignore[index]  # the enumeration's text
    return {row.name: row.default if row.default_factory is MISSING else row.default_factory() for row in rows}


@dataclass(frozen=True)
class LayerTensors:
    """All that a file and the base say of one layer.

    Args:
        parts: The layer's tensors by the rest of their names.
        shared: Tensors that all layers share, by the rest of their names.
        settings: What adapter_config.json says, with PEFT's defaults.
        shape: (d_out, d_in).
        weight: W₀; None where ΔW does not depend on it.
        count: How many layers the adapter is on.
    """

    parts: Parts
    shared: Mapping[str, Tensor]
    settings: Mapping[str, Any]
    shape: Shape
    weight: Tensor | None
    count: int

    @property
    def base_weight(self) -> Tensor:
        """W₀, d_out × d_in.

        Raises:
            BadInput: There is none.
        """
        if self.weight is None:
            raise BadInput("ΔW depends on W₀; give the model with --base")
        return self.weight

    def number(self, name: str) -> float:
        """A setting that has to be a number.

        Raises:
            BadInput: It is none.
        """
        value = self.settings.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < float("inf"):
            raise BadInput(f"{name}={str(value)[:60]!r} is no number")
        return float(value)


@dataclass(frozen=True)
class FurtherType:
    """One row of FURTHER: a type by the rule for its ΔW, or by PEFT's own layer around W₀ of one layer.

    Args:
        files: What its files hold.
        delta: A layer's tensors → ΔW; None where PEFT's layer is built for it.
        built: (PEFT's layer, W₀) → ΔW.
        thin: Whether ΔW has thin factors.
    """

    files: AdapterFiles
    delta: Callable[[LayerTensors], Delta] | None = None
    built: Callable[[Any, Tensor], Tensor] | None = None
    thin: bool = False
