"""drop-direction: take singular directions out of ΔW."""

from typing import Any

import torch
from pydantic import Field

from neatlab.adapters.factors import Factors, FactorsSvd
from neatlab.editing.acts.base import ActRow, items, match_layers
from neatlab.editing.state import Editable, Update
from neatlab.errors import BadInput, shown
from neatlab.schema import Schema


class DropOptions(Schema):
    """Options of `drop-direction`.

    Args:
        index: Which directions, 1 for that of the largest singular value; several joined by "+".
        layers: In which layers, as `keep-layers` names them; all by default.
    """

    index: str = Field("1", min_length=1)
    layers: str | None = None

    def model_post_init(self, context: Any, /) -> None:
        """Refuse what is no index."""
        if not items(self.index) or not all(part.isdecimal() and int(part) >= 1 for part in items(self.index)):
            raise BadInput(
                f"index={shown(self.index)}: whole numbers from 1, joined by +, such as index=1 or index=2+3"
            )


def _dropped(adapter: Editable, options: DropOptions) -> Editable:
    names = list(adapter.shapes)
    chosen = set(names if options.layers is None else match_layers(options.layers, names, "drop-direction"))
    indices = {int(part) - 1 for part in items(options.index)}
    return adapter.as_lora(
        lambda name, update: _without(name, update, indices) if name in chosen else update, "drop-direction"
    )


def _without(name: str, update: Update, indices: set[int]) -> Update:
    if not isinstance(update.delta, Factors):
        raise BadInput(f"drop-direction: ΔW of layer {name} has no thin factors; put compress before it")
    svd = FactorsSvd(update.delta)
    count = len(svd.values)
    if max(indices) >= count:
        raise BadInput(
            f"drop-direction: layer {name} has {count} directions; index={max(indices) + 1} is not among them"
        )
    rest = [index for index in range(count) if index not in indices]
    if not rest:
        raise BadInput(f"drop-direction leaves rank 0 in layer {name}; to take the layer out use keep-layers")
    return Update(svd.select(torch.tensor(rest)), update.magnitude)


ROW: ActRow = ActRow("takes singular directions out of ΔW", DropOptions, _dropped, "drop-direction:index=1")
