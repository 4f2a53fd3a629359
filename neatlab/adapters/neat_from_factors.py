"""Thin factors as a NEAT of twice as many hidden units (arXiv:2410.01870, Proposition 5.1)."""

import torch
from torch import Tensor, nn

from neatlab.adapters.factors import Factors
from neatlab.errors import BadInput


def split_factors(lora: Factors, weight: Tensor, rank: int, orientation: str) -> tuple[list[Tensor], Factors]:
    """(Θ₁ᵀ, Θ₂) as NEAT stores them, and the ΔW that they make.

    With ΔWᵀ = P Q and M = W₀ᵀ, Θ₁ = M⁺[P, −P] and Θ₂ = [Q; −Q] give ReLU(MΘ₁)Θ₂ = P Q where M has full row rank.

    Args:
        lora: ΔW, of rank/2 at most.
        weight: W₀ in float64, d_out × d_in.
        rank: Hidden units.
        orientation: The side that is mapped over: "out" as above, "in" with M = W₀ and ΔW = P Q.
    """
    left, right = lora.left.double(), lora.right.double()
    mapped, P, Q = (weight.T, right.T, left.T) if orientation == "out" else (weight, left, right)
    first = torch.linalg.pinv(mapped) @ torch.cat([P, -P], 1)
    spare = rank - first.shape[1]  # a layer of lower rank than the others: hidden units that stay at zero
    first = nn.functional.pad(first, (0, spare)).float()
    last = nn.functional.pad(torch.cat([Q, -Q]), (0, 0, 0, spare)).float()
    hidden = torch.relu(mapped @ first.double())
    return [first.T, last], Factors(hidden, last.double()) if orientation == "in" else Factors(
        last.double().T, hidden.T
    )


def check_room(name: str, shape: tuple[int, int], rank: int) -> None:
    """Refuse a layer that is smaller than the hidden units.

    Raises:
        BadInput: Names it.
    """
    if rank > min(shape):
        size = " × ".join(str(n) for n in shape)
        raise BadInput(f"layer {name} ({size}) has no room for {rank} hidden units, twice the LoRA's rank")
