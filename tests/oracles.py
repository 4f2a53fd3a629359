"""Slow, plain transcriptions of the equations that the fast code is held against."""

import torch
from torch import Tensor
from transformers.activations import ACT2FN

OURS = {"sin": lambda frequency: lambda x: torch.sin(frequency * x)}  # written out again, for those that are the lab's


def activation(name: str, frequency: float = 1.0):
    return OURS[name](frequency) if name in OURS else ACT2FN[name]


def neat_delta(
    weight: Tensor,
    thetas: list[Tensor],
    name: str = "relu",
    residual: str = "paired",
    orientation: str = "out",
    conditioning: str = "weight",
    scaling: float = 1.0,
    frequency: float = 1.0,
) -> Tensor:
    """ΔW (d_out × d_in) as the paper writes it: ΔWᵀ = s·f(W₀ᵀ) over d_out, ΔW = s·f(W₀) over d_in.

    `thetas` are Θ₁ … Θ_L as in the paper: m × r, r × r, …, r × m (n × r first, where W₀ does not condition).
    """
    sigma = activation(name, frequency)
    mapped = weight.T if orientation == "out" else weight
    first, *inner, last = thetas
    hidden = [sigma(mapped @ first if conditioning == "weight" else first)]
    pairs = len(inner) // 2
    for i, theta in enumerate(inner):
        out = sigma(hidden[-1] @ theta)
        if residual == "paired" and i >= pairs:
            out = out + hidden[2 * pairs - 1 - i]
        hidden.append(out)
    delta = scaling * (hidden[-1] @ last)
    return delta.T if orientation == "out" else delta
