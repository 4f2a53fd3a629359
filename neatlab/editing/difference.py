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
    """Both norms of ΔW."""
    return _thin_size(*delta.grams) if isinstance(delta, Factors) else _dense_size(delta)


def distance(after: Delta, before: Delta) -> Size:
    """Both norms of ΔW′ − ΔW; of thin factors by Gram matrices, so what is below 1e-8 of the factors is rounding."""
    if not (isinstance(after, Factors) and isinstance(before, Factors)):
        return _dense_size(_dense(after) - _dense(before))
    one, other = after.to(torch.float64), before.to(torch.float64)
    if torch.equal(one.left, other.left) and torch.equal(one.right, other.right):
        return Size(0.0, 0.0)
    crossed_left, crossed_right = one.left.T @ other.left, one.right @ other.right.T  # r′ × r
    (after_left, after_right), (before_left, before_right) = after.grams, before.grams
    return _thin_size(
        _blocks(after_left, crossed_left, before_left), _blocks(after_right, -crossed_right, before_right)
    )


def _blocks(first: Tensor, crossed: Tensor, last: Tensor) -> Tensor:
    return torch.cat([torch.cat([first, crossed], 1), torch.cat([crossed.T, last], 1)])


def _thin_size(gram_left: Tensor, gram_right: Tensor) -> Size:
    """From leftᵀ left and right rightᵀ: their product has the eigenvalues σ²."""
    values, vectors = torch.linalg.eigh(gram_left)
    root = vectors * values.clamp(min=0).sqrt()
    squares = torch.linalg.eigvalsh(root.T @ gram_right @ root).clamp(min=0)
    return Size(float(squares.sum().sqrt()), float(squares[-1].sqrt()))


def _dense(delta: Delta) -> Tensor:
    return delta.to(torch.float64).dense() if isinstance(delta, Factors) else delta.double()


def _dense_size(delta: Tensor) -> Size:
    if min(delta.shape) <= EXACT_BELOW:
        spectral = torch.linalg.matrix_norm(delta.double(), 2)
    else:
        spectral = leading_svd(delta, 1).values[0]
    return Size(float(delta.double().norm()), float(spectral))
