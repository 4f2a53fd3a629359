"""How far one ΔW is from another."""

from typing import NamedTuple

import torch
from torch import Tensor

from neatlab.adapters.factors import Delta, Factors
from neatlab.analysis.partial_svd import EXACT_BELOW, leading_svd


class Size(NamedTuple):
    """Norms of a matrix.

    Args:
        frobenius: ‖M‖_F.
        spectral: ‖M‖₂, its largest singular value.
    """

    frobenius: float
    spectral: float


def size(delta: Delta) -> Size:
    """Both norms of ΔW; of thin factors by r × r Gram matrices, so what is below 1e-8 of the factors is rounding."""
    if not isinstance(delta, Factors):
        return _dense_size(delta)
    left, right = delta.left.double(), delta.right.double()
    gram_left, gram_right = left.T @ left, right @ right.T  # r × r
    values, vectors = torch.linalg.eigh(gram_left)
    root = vectors * values.clamp(min=0).sqrt()
    squares = torch.linalg.eigvalsh(root.T @ gram_right @ root).clamp(min=0)  # σ²
    return Size(float(squares.sum().sqrt()), float(squares[-1].sqrt()))


def difference(after: Delta, before: Delta) -> Delta:
    """ΔW′ − ΔW, as factors where both have them."""
    if isinstance(after, Factors) and isinstance(before, Factors):
        return after.to(torch.float64).minus(before)
    return _dense(after) - _dense(before)


def _dense(delta: Delta) -> Tensor:
    return delta.to(torch.float64).dense() if isinstance(delta, Factors) else delta.double()


def _dense_size(delta: Tensor) -> Size:
    if min(delta.shape) <= EXACT_BELOW:
        spectral = torch.linalg.matrix_norm(delta.double(), 2)
    else:
        spectral = leading_svd(delta, 1).values[0]
    return Size(float(delta.double().norm()), float(spectral))
