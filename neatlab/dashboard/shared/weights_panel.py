"""The pictures of a layer's matrices to one scale: the Train tab feeds them with weights, Understand with shapes."""

from pathlib import Path
from typing import Any

from neatlab.adapters.methods import METHODS, Method
from neatlab.plots.looks import look

SCRIPTS = ("weights_matrices.js", "weights_layout.js", "weights_sketch.js", "weights.js")


def weights_panel(own: str) -> str:
    """The script of a chart of weights.

    Args:
        own: Sets `painters.NAME` to what `weightsPanel` makes of a function that gives the shapes, and of the event
            after which they are others.
    """
    return "\n".join([*((Path(__file__).parent / name).read_text(encoding="utf-8") for name in SCRIPTS), own])


def sketch_methods() -> dict[str, Any]:
    """Method → how it makes ΔW and looks: what its shapes follow from."""
    return {
        name: {"kind": _kind(row), "title": row.title, "labels": row.factors, "colour": look(name).colour}
        for name, row in METHODS.items()
    }


def _kind(row: Method) -> str:
    if row.network:
        return "network"
    return "product" if row.factors else "dense"
