"""The ceiling and the floor: the whole model trains, or its head alone."""

from neatlab.adapters.methods.base import Method
from neatlab.schema import Schema


class NoOptions(Schema):
    """Options of a method that has none."""


def count(options: NoOptions, d_out: int, d_in: int) -> int:
    """0: the layer stays as it is."""
    return 0


FULL = Method(
    "full fine-tuning",
    NoOptions,
    None,
    "all",
    "ΔW free",
    "d_out·d_in",
    None,
    None,
    None,
    size=None,
    rank="none; ΔW has any",
    lr_factor=0.05,
)
HEAD = Method("head only", NoOptions, None, "head", "ΔW = 0", "0", count, None, None, size=None, rank="0")
