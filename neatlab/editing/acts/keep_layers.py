"""keep-layers: an adapter on some of its layers."""

from dataclasses import replace

from pydantic import Field

from neatlab.editing.acts.base import ActRow, match_layers
from neatlab.editing.state import Editable
from neatlab.errors import BadInput
from neatlab.inspection.adapter_types import ADAPTER_TYPES
from neatlab.schema import Schema


class KeepOptions(Schema):
    """Options of `keep-layers`.

    Args:
        pattern: Whole names of layers, last parts of names, or names with * and ?; several joined by "+".
    """

    pattern: str = Field(min_length=1)


def _selected(adapter: Editable, options: KeepOptions) -> Editable:
    names = match_layers(options.pattern, [*adapter.shapes, *adapter.unsupported], "keep-layers")
    shapes = {name: adapter.shapes[name] for name in names if name in adapter.shapes}
    if not shapes:
        raise BadInput(f"keep-layers: {names[0]} is {adapter.unsupported[names[0]]}; no other layer is left")
    shares = bool(ADAPTER_TYPES[adapter.type].shared)  # VeRA's matrices are drawn for its largest layer
    return replace(
        adapter,
        shapes=shapes,
        unsupported={name: reason for name, reason in adapter.unsupported.items() if name in names},
        keeps_type=adapter.keeps_type and not (shares and len(shapes) < len(adapter.shapes)),
    )


ROW: ActRow = ActRow("keeps some layers and takes the others out", KeepOptions, _selected, "keep-layers:pattern=*")
