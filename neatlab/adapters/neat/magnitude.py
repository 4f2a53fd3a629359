"""DoRA's magnitude over NEAT's direction: W = m ⊙ V/‖V‖, V = W₀ + ΔW, norms by row (Liu et al., arXiv:2402.09353)."""

import torch
from torch import Tensor

from neatlab.adapters.factors import Factors
from neatlab.adapters.neat.hidden import thin_product


def squared_norms(weight: Tensor) -> Tensor:
    """‖w‖² of each row of a d_out × d_in matrix, in float32 at least."""
    return torch.linalg.vector_norm(weight, dim=1, dtype=torch.promote_types(weight.dtype, torch.float32)).square()


def row_norms(weight: Tensor, squares: Tensor, factors: Factors) -> Tensor:
    """‖w + l R‖ of each row of W₀ + ΔW, which is never built: ‖w‖² + 2 l·(R w) + l·(R Rᵀ l).

    Args:
        weight: W₀, d_out × d_in.
        squares: ‖w‖² of its rows, d_out.
        factors: ΔW = l R, row by row.

    Returns:
        d_out.
    """
    left, right = factors.left, factors.right  # d_out × r, r × d_in
    cross = thin_product(right, weight.T).T  # d_out × r
    total = squares + (left * (2 * cross + left @ (right @ right.T))).sum(dim=1)
    return total.clamp_min(torch.finfo(total.dtype).tiny).sqrt()
