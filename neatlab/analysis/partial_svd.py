"""The leading singular vectors of a large weight, by Lanczos, with how far off they may be."""

from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np
import torch
from scipy.sparse.linalg import ArpackNoConvergence, eigsh
from torch import Tensor

from neatlab.adapters.factors import Factors

EXACT_BELOW = 256  # smaller side up to which a full SVD in float64 is as fast
TOLERANCE = 1e-5  # of Lanczos, relative to each eigenvalue of the Gram matrix
BLOCK_ROWS = 2048
STEPS = 64  # of Lanczos from a candidate, after which most that have no partner are known to have none
OUTGROWN = 100  # σ₁/σ_k from which the float32 Gram matrix, which squares it, says too little of the k-th direction
LOST = 1e-6  # σ_k/σ₁ up to which the float64 one does
RESTARTS = 1000  # of Lanczos at most
STALLED = 1e-5  # of the largest coefficient: a Lanczos step below it is rounding


@dataclass(frozen=True)
class PartialSvd:
    """Leading singular triplets W vᵢ ≈ σᵢ uᵢ.

    Args:
        left: U, d_out × k.
        values: σ, k values, largest first.
        right: V, d_in × k.
        residual: ‖W V − U Σ‖_F or ‖Wᵀ U − V Σ‖_F, the larger; every σᵢ is that near to a singular value (Weyl).
        next_value: σ_{k+1}, 0 where there is none.
        exact: Whether these come from a full SVD.
    """

    left: Tensor
    values: Tensor
    right: Tensor
    residual: float
    next_value: float
    exact: bool

    @property
    def clear(self) -> int:
        """How many triplets, from the first, are more than rounding."""
        if self.exact or not len(self.values):
            return len(self.values)
        return int((self.values > LOST * self.values[0]).sum())

    @property
    def angle_bound(self) -> float:
        """Upper bound on the sine of the largest angle to the true leading subspaces: residual over gap (Wedin 1972).

        1, which says nothing, where σ_k and σ_{k+1} lie closer than the residual.
        """
        gap = float(self.values[-1]) - self.next_value - self.residual if len(self.values) else 0.0
        return min(1.0, self.residual / gap) if gap > 0 else 1.0


def leading_svd(weight: Tensor, count: int, update: Factors | None = None) -> PartialSvd:
    """The `count` leading singular triplets of W, or of W + ΔW with thin factors of ΔW.

    Args:
        weight: W, d_out × d_in, in any floating-point precision.
        count: How many; at most the smaller side.
        update: ΔW = left @ right; the sum is not built.

    Returns:
        The triplets in float64 (small W, or some small beside the first) or float32.
    """
    return Gram(weight).leading(count, update)


class Gram:
    """W Wᵀ or Wᵀ W, the smaller of the two, made once for W and for every W + ΔW that is asked after.

    A Lanczos step on it costs min(d)² where one on W costs 2·d_out·d_in.

    Args:
        weight: W, d_out × d_in.
        dtype: What it is made in.
    """

    def __init__(self, weight: Tensor, dtype: torch.dtype = torch.float32) -> None:
        self.weight, self.dtype = weight.detach(), dtype
        self.wide = weight.shape[0] <= weight.shape[1]

    def leading(self, count: int, update: Factors | None = None) -> PartialSvd:
        """The leading triplets of W, or of W + `update`; anew in float64 where some are small beside the first."""
        smaller = min(self.weight.shape)
        count = min(count, smaller)
        if smaller <= EXACT_BELOW or count + 1 >= smaller:
            return _full(self.weight.double() + (0 if update is None else _double(update).dense()), count)
        thin = None if update is None else Factors(update.left.detach(), update.right.detach()).to(self.dtype)
        vectors, values = _lanczos(self._matrix if thin is None else self._updated(thin), count + 1)
        svd = self._finish(vectors[:, :count], values, count, thin)
        if self.dtype == torch.float32 and svd.values[0] > OUTGROWN * svd.values[-1]:
            return self._precise.leading(count, update)
        return svd

    def largest_share(self, vectors: Tensor) -> Tensor:
        """Upper bound on (uᵀy)² over all left singular vectors u of W, for each column y.

        With the Cholesky factor C of WᵀW = CCᵀ, a tall W is Q Cᵀ, and W Wᵀ is CᵀC on Q's columns; y is C⁻¹Wᵀy there.

        Args:
            vectors: Unit vectors y, d_out × k.

        Returns:
            k bounds; 1, which says nothing, where W is too near to a lower rank for C.
        """
        if self.wide:
            return largest_share(self._matrix, vectors.float())
        factor, failed = torch.linalg.cholesky_ex(self._matrix.double())
        pivots = factor.diagonal().square()
        if failed or pivots.min() < STALLED * pivots.max():
            return torch.ones(vectors.shape[1], dtype=torch.float64)
        inside = torch.linalg.solve_triangular(factor, self._times(vectors.float(), flat=False).double(), upper=False)
        return largest_share((factor.T @ factor).float(), inside.float())

    @cached_property
    def _precise(self) -> "Gram":
        return Gram(self.weight, torch.float64)

    @cached_property
    def _matrix(self) -> Tensor:
        rows = self.weight if self.wide else self.weight.T
        total = torch.zeros(rows.shape[0], rows.shape[0], dtype=self.dtype)
        for block in rows.split(BLOCK_ROWS, dim=1):
            wide = block.to(self.dtype)
            total.addmm_(wide, wide.T)
        return total

    def _updated(self, update: Factors) -> Tensor:
        """(W + LR)(W + LR)ᵀ = G + (WRᵀ)Lᵀ + L(WRᵀ)ᵀ + L(RRᵀ)Lᵀ."""
        left, right = (update.left, update.right) if self.wide else (update.right.T, update.left.T)
        crossed = self._times(right.T, flat=self.wide)
        half = crossed @ left.T + (left @ (right @ right.T / 2)) @ left.T
        return self._matrix + half + half.T

    def _times(self, thin: Tensor, flat: bool) -> Tensor:
        """W X (flat) or Wᵀ X, the weight raised to `dtype` block by block."""
        rows = self.weight if flat else self.weight.T
        return torch.cat([block.to(self.dtype) @ thin for block in rows.split(BLOCK_ROWS)])

    def _finish(self, near: Tensor, values: Tensor, count: int, update: Factors | None) -> PartialSvd:
        """The other side's vectors, and both residuals measured on the matrix itself."""
        sigma = values[:count].clamp(min=0).sqrt()
        other = self._product(near, not self.wide, update)  # Wᵀ u
        far, _ = torch.linalg.qr(other / sigma.clamp(min=torch.finfo(sigma.dtype).tiny))
        far = far * torch.sign((far * other).sum(dim=0))
        back = torch.linalg.norm(other - far * sigma)
        forth = torch.linalg.norm(self._product(far, self.wide, update) - near * sigma)
        left, right = (near, far) if self.wide else (far, near)
        next_value = float(values[count].clamp(min=0).sqrt())
        return PartialSvd(left, sigma, right, float(torch.maximum(back, forth)), next_value, exact=False)

    def _product(self, thin: Tensor, flat: bool, update: Factors | None) -> Tensor:
        product = self._times(thin, flat)
        if update is None:
            return product
        left, right = (update.left, update.right) if flat else (update.right.T, update.left.T)
        return product + left @ (right @ thin)


def _double(update: Factors) -> Factors:
    return Factors(update.left.detach().double(), update.right.detach().double())


def _full(matrix: Tensor, count: int) -> PartialSvd:
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    following = float(values[count]) if len(values) > count else 0.0
    return PartialSvd(left[:, :count], values[:count], right[:count].T, 0.0, following, exact=True)


def _lanczos(matrix: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Largest eigenvalues first, with their vectors; all of them at once should Lanczos not converge."""
    size = matrix.shape[0]
    start = np.random.default_rng(0).standard_normal(size).astype(matrix.numpy().dtype)
    try:
        basis_size = min(size, max(4 * count, 40))
        pairs = eigsh(matrix.numpy(), k=count, which="LA", ncv=basis_size, tol=TOLERANCE, v0=start, maxiter=RESTARTS)
        values, vectors = (torch.from_numpy(cast(np.ndarray, part)) for part in pairs)
    except ArpackNoConvergence:
        values, vectors = torch.linalg.eigh(matrix)
    return vectors.flip(1)[:, :count].contiguous(), values.flip(0)[:count]


def largest_share(matrix: Tensor, starts: Tensor, steps: int = STEPS) -> Tensor:
    """Upper bound on (uᵀy)² over all eigenvectors u, from a few Lanczos steps: max over i of ‖y‖² (wᵢ + wᵢ₊₁).

    The wᵢ are the Gauss weights of y's distribution over the eigenvalues. Between two neighbouring nodes, both
    included, no more of it can lie than their two weights (Chebyshev, Markov, Stieltjes: Szegő 1939, section 3.41).

    Args:
        matrix: Symmetric, d × d.
        starts: The vectors y, d × k.
        steps: Of Lanczos.

    Returns:
        k bounds.
    """
    energy = starts.double().square().sum(dim=0)
    diagonals, offs = _tridiagonals(matrix, starts, steps)
    weights = [_largest_weight(a, b) for a, b in zip(diagonals.T, offs.T, strict=True)]
    return energy * torch.tensor(weights, dtype=torch.float64)


def _tridiagonals(matrix: Tensor, starts: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Lanczos coefficients of every start, steps × k, each basis orthogonalised twice in full."""
    basis = (starts / starts.norm(dim=0).clamp(min=torch.finfo(starts.dtype).tiny)).unsqueeze(0)
    diagonals, offs = [], []
    for _ in range(steps):
        moved = matrix @ basis[-1]
        diagonals.append((moved * basis[-1]).sum(dim=0))
        for _ in range(2):
            moved = moved - torch.einsum("sdk,sk->dk", basis, torch.einsum("sdk,dk->sk", basis, moved))
        offs.append(moved.norm(dim=0))
        basis = torch.cat([basis, (moved / offs[-1].clamp(min=torch.finfo(moved.dtype).tiny)).unsqueeze(0)])
    return torch.stack(diagonals).double(), torch.stack(offs).double()


def _largest_weight(diagonal: Tensor, off: Tensor) -> float:
    """Largest sum of two neighbouring Gauss weights: the squared first entries of the tridiagonal's eigenvectors."""
    stalled = torch.nonzero(off <= STALLED * diagonal.abs().max())
    size = int(stalled[0]) + 1 if len(stalled) else len(diagonal)
    inner = off[: size - 1]
    weights = torch.linalg.eigh(diagonal[:size].diag() + inner.diag(1) + inner.diag(-1))[1][0].square()
    return float((weights + torch.cat([weights[1:], weights.new_zeros(1)])).max())
