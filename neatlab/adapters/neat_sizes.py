"""How many parameters a NEAT layer has, by formula: neither PEFT nor torch is needed to know it."""

from typing import Literal

Residual = Literal["paired", "none"]
Orientation = Literal["out", "in", "auto"]
Conditioning = Literal["weight", "none"]


def neat_parameters(
    rank: int, depth: int, orientation: Orientation, conditioning: Conditioning, d_in: int, d_out: int
) -> int:
    """r·(m + n) + (L−2)·r², n the mapped side.

    With conditioning "weight" m = n (both matrices span the mapped side); with "none" the free matrix spans the
    other one. Learned activations add their own.

    Args:
        rank: r, the width of the hidden layers.
        depth: L, linear maps.
        orientation: Which side is mapped over.
        conditioning: Whether Θ₁ meets W₀.
        d_in: Inputs of the layer.
        d_out: Its outputs.
    """
    mapped, other = sides(orientation, d_in, d_out)
    first = mapped if conditioning == "weight" else other
    return rank * (first + mapped) + (depth - 2) * rank**2


def sides(orientation: Orientation, d_in: int, d_out: int) -> tuple[int, int]:
    """(mapped side, other side): f acts on vectors of the first, one for each index of the second."""
    return (d_out, d_in) if maps_out(orientation, d_in, d_out) else (d_in, d_out)


def maps_out(orientation: Orientation, d_in: int, d_out: int) -> bool:
    """Whether f acts on vectors of length d_out; "auto" decides by which side is cheaper."""
    return d_out <= d_in if orientation == "auto" else orientation == "out"
