"""Which directions ΔW writes to and reads from, compared with those of W₀ and of other updates.

The left singular vectors of ΔW span what it writes (d_out), the right ones what it reads (d_in). The two sides are
kept apart throughout: NEAT takes one of them from W₀, LoRA neither.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from scipy.linalg import subspace_angles
from torch import Tensor

from neatlab.adapters.factors import Delta, Factors
from neatlab.analysis.partial_svd import EXACT_BELOW, PartialSvd, leading_svd

NAN = float("nan")
Side = Literal["left", "right"]
NEGLIGIBLE = 1e-6  # of σ₁: what float32 factors leave below it is rounding
EPSILON = 0.5  # cosine below which a direction has no partner


@dataclass(frozen=True)
class Directions:
    """Singular directions of one ΔW that are more than rounding.

    Args:
        left: U, d_out × k, orthonormal, float64.
        values: σ, k values, largest first.
        right: V, d_in × k, orthonormal, float64.
    """

    left: Tensor
    values: Tensor
    right: Tensor

    def side(self, side: Side) -> Tensor:
        """U or V."""
        return self.left if side == "left" else self.right

    def first(self, count: int) -> "Directions":
        """The leading `count`."""
        return Directions(self.left[:, :count], self.values[:count], self.right[:, :count])

    def __len__(self) -> int:
        return len(self.values)


def directions(delta: Delta, count: int | None = None) -> Directions:
    """Singular directions of ΔW, from its thin factors where it has them.

    Args:
        delta: `Factors`, or ΔW itself (d_out × d_in).
        count: Keep this many at most; all above rounding by default.

    Returns:
        The directions; none where ΔW = 0.
    """
    if isinstance(delta, Factors):
        left, values, right = delta.svd()  # d_out × r, r, r × d_in
        right = right.T
    elif count is not None and min(delta.shape) > EXACT_BELOW:
        partial = leading_svd(delta, count)
        left, values, right = partial.left.double(), partial.values.double(), partial.right.double()
    else:
        left, values, right = torch.linalg.svd(delta.detach().double(), full_matrices=False)  # k = min(d_out, d_in)
        right = right.T
    rank = int((values > NEGLIGIBLE * values.max()).sum()) if values.numel() and values.max() > 0 else 0
    return Directions(left, values, right).first(rank if count is None else min(rank, count))


def subspace_similarity(a: Tensor, b: Tensor) -> float:
    """φ = ‖AᵀB‖²_F / min(i, j), 0 for orthogonal spaces and 1 where one holds the other.

    Args:
        a: Orthonormal columns, d × i.
        b: Orthonormal columns, d × j.

    Returns:
        φ in [0, 1]; NaN where a side has no direction.

    Source: Hu et al. (arXiv:2106.09685), section 7.2, equation 4.
    """
    smaller = min(a.shape[1], b.shape[1])
    return float((a.T.to(b.dtype) @ b).square().sum()) / smaller if smaller else NAN


def similarity_grid(a: Tensor, b: Tensor) -> Tensor:
    """φ(i, j) of the first i columns of A and the first j of B, for every i and j: Hu et al., figure 3.

    Args:
        a: Orthonormal columns, d × m.
        b: Orthonormal columns, d × n.

    Returns:
        m × n.
    """
    summed = (a.T.to(b.dtype) @ b).square().cumsum(0).cumsum(1)  # m × n: ‖AᵀB‖²_F of the first i and j columns
    i, j = torch.arange(1, a.shape[1] + 1), torch.arange(1, b.shape[1] + 1)
    return summed / torch.minimum(i[:, None], j[None, :])


def principal_angles(a: Tensor, b: Tensor) -> Tensor:
    """Angles between two subspaces in radians, smallest first, accurate near zero too (Björck & Golub 1973).

    Args:
        a: Columns that span the first, d × i.
        b: Columns that span the second, d × j.

    Returns:
        min(i, j) angles in [0, π/2].
    """
    if 0 in (a.shape[1], b.shape[1]):
        return torch.zeros(0, dtype=torch.float64)
    angles = subspace_angles(a.double().numpy(), b.double().numpy())
    return torch.from_numpy(angles[::-1].copy())


def shared_energy(of: Directions, within: Directions) -> dict[Side, float]:
    """Share of ‖ΔW‖²_F that lies in another update's directions: ‖P ΔW‖²_F/‖ΔW‖²_F, P the projector on each side.

    Args:
        of: The directions of ΔW.
        within: Those of the other update.

    Returns:
        A share in [0, 1] for "left" and for "right"; NaN where ΔW = 0.
    """
    total = float(of.values.square().sum())
    if not total:
        return {"left": NAN, "right": NAN}
    left, right = within.left.T @ of.left * of.values, within.right.T @ of.right * of.values  # j × k each
    return {"left": float(left.square().sum()) / total, "right": float(right.square().sum()) / total}


def cosine(a: Directions, b: Directions) -> float:
    """⟨ΔW₁, ΔW₂⟩/(‖ΔW₁‖_F ‖ΔW₂‖_F) in [−1, 1], from the thin sides alone; NaN where either is zero."""
    inner = ((a.left.T @ b.left) * (a.right.T @ b.right) * a.values[:, None] * b.values).sum()  # of i × j
    norms = a.values.norm() * b.values.norm()
    return float(inner / norms) if norms > 0 else NAN


def amplification(update: Directions, weight: Tensor) -> float:
    """‖ΔW‖_F/‖Uᵀ W₀ V‖_F: how much ΔW strengthens what W₀ already does in ΔW's directions.

    Args:
        update: Directions of ΔW.
        weight: W₀, d_out × d_in.

    Returns:
        The factor; infinite where W₀ does nothing there, NaN where ΔW = 0.

    Source: Hu et al. (arXiv:2106.09685), section 7.3.
    """
    if not len(update):
        return NAN
    inner = _project(update.left, weight, update.right).norm()
    return float(update.values.norm() / inner)


def _project(left: Tensor, weight: Tensor, right: Tensor, rows: int = 1024) -> Tensor:
    """Uᵀ W V (k × k), the weight raised block of rows by block of rows."""
    dtype = torch.float64 if weight.dtype == torch.float64 else torch.float32
    blocks = zip(left.to(dtype).split(rows), weight.split(rows), strict=True)
    total = torch.zeros(left.shape[1], weight.shape[1], dtype=dtype)
    for basis, block in blocks:
        total.addmm_(basis.T, block.to(dtype))  # (k × rows)(rows × d_in)
    return total.double() @ right


@dataclass(frozen=True)
class Intruders:
    """Leading left singular vectors of W₀ + ΔW without a partner in W₀.

    Args:
        cosines: For each, the largest |cosine| to a singular vector of W₀ among those that are known.
        outside: For each, the most that a squared cosine to an unknown vector of W₀ can be: 0 where all are known, 1 of
            a vector that is rounding beside the first.
        epsilon: The cosine below which a vector has no partner.
    """

    cosines: Tensor
    outside: Tensor
    epsilon: float

    @property
    def indices(self) -> list[int]:
        """Which vectors have no partner for certain, among unknown ones too (0 is the first)."""
        return torch.nonzero((self.cosines < self.epsilon) & ~self._open).flatten().tolist()

    @property
    def undecided(self) -> int:
        """How many have none among the known vectors and could have one beyond them."""
        return int(((self.cosines < self.epsilon) & self._open).sum())

    @property
    def _open(self) -> Tensor:
        return self.outside >= self.epsilon**2

    @property
    def count(self) -> int:
        """How many intruders there are for certain."""
        return len(self.indices)


def intruders(
    after: PartialSvd,
    before: PartialSvd,
    epsilon: float = EPSILON,
    bound: Callable[[Tensor], Tensor] | None = None,
) -> Intruders:
    """Intruder dimensions: leading left singular vectors of W₀ + ΔW that resemble no singular vector of W₀.

    Args:
        after: Leading triplets of W₀ + ΔW.
        before: Triplets of W₀: all, or the leading ones.
        epsilon: ε.
        bound: Upper bounds on the squared cosines of vectors (d_out × k) to any singular vector of W₀, such as
            `Gram.largest_share`; asked only for those that the energy beyond the known vectors leaves undecided.

    Source: Shuttleworth et al. (arXiv:2410.21228), algorithm 1.
    """
    squares = (before.left.T.double() @ after.left.double()).square()  # vectors of W₀ × vectors of W₀ + ΔW
    cosines = squares.max(dim=0).values.sqrt().clamp(max=1)
    outside = (1 - squares.sum(dim=0)).clamp(min=0)
    if len(before.values) == min(len(before.left), len(before.right)):
        outside = torch.zeros_like(outside)  # no vector of W₀ is unknown, whatever else the space holds
    unsettled = torch.nonzero((cosines < epsilon) & (outside >= epsilon**2)).flatten()
    if bound is not None and len(unsettled):
        outside[unsettled] = torch.minimum(outside[unsettled], bound(after.left[:, unsettled]))
    outside[after.clear :] = 1.0
    return Intruders(cosines, outside, epsilon)


@dataclass(frozen=True)
class DoraChange:
    """How DoRA's two parts moved, averaged over the rows of a layer.

    Args:
        magnitude: Mean of |‖w′‖ − ‖w‖|, relative to the mean of ‖w‖.
        direction: Mean of 1 − cos(w′, w), from 0 (same direction) to 2.
    """

    magnitude: float
    direction: float


def row_change(weight: Tensor, delta: Tensor) -> DoraChange:
    """Change of magnitude and of direction of W's rows, DoRA's decomposition (arXiv:2402.09353, equations 3 and 4).

    Args:
        weight: W₀, d_out × d_in.
        delta: ΔW of the same shape.
    """
    before = weight.double()
    after = before + delta.double()
    old, new = before.norm(dim=1), after.norm(dim=1)
    alive = (old > 0) & (new > 0)
    if not alive.any():
        return DoraChange(NAN, NAN)
    cosines = ((before * after).sum(dim=1)[alive] / (old * new)[alive]).clamp(-1, 1)
    return DoraChange(float((new - old).abs().mean() / old.mean()), float((1 - cosines).mean()))
