"""The rows, and acts as one writes them."""

from collections.abc import Mapping
from typing import Any

from neatlab.editing.acts import compress, convert, drop_direction, intruders, keep_layers, merge, reweight, scale
from neatlab.editing.acts.base import Act, ActRow
from neatlab.errors import unknown
from neatlab.schema import parse_pairs

ACTS: dict[str, ActRow] = {
    "compress": compress.ROW,
    "scale": scale.SCALE,
    "rewind": scale.REWIND,
    "drop-direction": drop_direction.ROW,
    "keep-layers": keep_layers.ROW,
    "reduce-intruders": intruders.ROW,
    "reweight": reweight.ROW,
    "merge": merge.ROW,
    "convert": convert.ROW,
}


def make_act(name: str, options: Mapping[str, Any], text: str | None = None) -> Act:
    """A validated act.

    Args:
        name: A key of ACTS.
        options: Its options; strings are converted.
        text: As it was written; its name by default.

    Raises:
        BadInput: Unknown act or option, or a value out of range.
    """
    if name not in ACTS:
        raise unknown("act", name, ACTS)
    return Act(text or name, ACTS[name], ACTS[name].options.parse(options, f"act {name!r}"))


def parse_act(text: str) -> Act:
    """An act as one writes it on a command line: "compress:rank=2" or "rewind:alpha=0.8".

    Raises:
        BadInput: A part that is not name=value, or what `make_act` refuses.
    """
    name, _, rest = text.strip().partition(":")
    return make_act(name, parse_pairs(rest.split(",") if rest else [], f"act {text!r}"), text.strip())
