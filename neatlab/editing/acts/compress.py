"""compress: ΔW by its leading singular directions alone, the best of its rank in every unitarily invariant norm."""

import heapq
from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol

import torch
from pydantic import Field
from torch import Tensor

from neatlab.adapters.factors import Delta, Factors, FactorsSvd
from neatlab.adapters.methods.base import MAX_RANK
from neatlab.analysis.partial_svd import EXACT_BELOW, leading_svd
from neatlab.analysis.random_matrix import factor_edge, gaussian_edge, optimal_over_edge
from neatlab.analysis.spectra import Spectrum
from neatlab.editing.acts.base import ActRow
from neatlab.editing.state import Editable, Shape, Update
from neatlab.errors import BadInput
from neatlab.schema import Schema


class CompressOptions(Schema):
    """Options of `compress`; one of them.

    Args:
        rank: Directions of each layer.
        energy: Share of each layer's Σσ² that stays at least.
        threshold: Directions of each layer that stand out of noise: above the edge of what random factors of this shape
            and median would show (Marchenko & Pastur 1967), or above the optimal hard threshold (arXiv:1305.5870).
        parameters: Numbers in all layers together, spent where they hold most of Σσ².
    """

    rank: int | None = Field(None, ge=1, le=MAX_RANK)
    energy: float | None = Field(None, gt=0, le=1)
    threshold: Literal["marchenko-pastur", "optimal"] | None = None
    parameters: int | None = Field(None, ge=1)

    def model_post_init(self, context: Any, /) -> None:
        """Refuse none and several."""
        if len(self.model_dump(exclude_none=True)) != 1:
            raise BadInput("one of rank=, energy=, threshold= and parameters=, such as compress:rank=4")


class Svd(Protocol):
    """Singular values of ΔW, and factors of the part in some of its directions."""

    values: Tensor

    def select(self, indices: slice) -> Factors:
        """ΔW in these directions alone."""


class DenseSvd:
    """The SVD of a ΔW without thin factors.

    Args:
        delta: ΔW, d_out × d_in.
        count: Directions that are asked for; all by default.
    """

    def __init__(self, delta: Tensor, count: int | None = None) -> None:
        if count is not None and min(delta.shape) > EXACT_BELOW:
            svd = leading_svd(delta, count)
            left, self.values, right = svd.left.double(), svd.values.double(), svd.right.T.double()
        else:
            left, self.values, right = torch.linalg.svd(delta.double(), full_matrices=False)
        self._left, self._right = left, right

    def select(self, indices: slice) -> Factors:
        """ΔW in these directions alone, as factors √σ·u and √σ·vᵀ."""
        root = self.values[indices].sqrt()
        return Factors(self._left[:, indices] * root, root[:, None] * self._right[indices])


def compressed(adapter: Editable, options: CompressOptions) -> Editable:
    """The adapter with fewer directions, as LoRA; DoRA's s·B A is compressed and its magnitudes stay."""
    rank_of = _rule(adapter, options)

    def work(name: str, update: Update) -> Update:
        svd = svd_of(update.delta, options.rank)
        rank = min(rank_of(name, svd.values), len(svd.values))
        if rank < 1:
            raise BadInput(
                f"compress leaves rank 0 in layer {name}: none of its directions stands out of noise; "
                "give rank= or energy=, or take the layer out with keep-layers"
            )
        return Update(svd.select(slice(0, rank)), update.magnitude)

    return adapter.map(work, keeps_type=False, thin=True)


def svd_of(delta: Delta, count: int | None = None) -> Svd:
    """Directions of ΔW, from its thin factors where it has them; of a dense one the leading `count`."""
    return FactorsSvd(delta) if isinstance(delta, Factors) else DenseSvd(delta, count)


def _rule(adapter: Editable, options: CompressOptions) -> Callable[[str, Tensor], int]:
    """(layer, singular values) → how many directions stay."""
    if options.rank is not None:
        rank = options.rank
        return lambda name, values: rank
    if options.energy is not None:
        share = options.energy
        return lambda name, values: _energy_rank(values, share)
    if options.threshold is not None:
        threshold, thin = options.threshold, adapter.thin
        return lambda name, values: _above_noise(values, adapter.shapes[name], threshold, thin)
    ranks = _spread(adapter, options.parameters or 0)
    return lambda name, values: ranks[name]


def _energy_rank(values: Tensor, share: float) -> int:
    """1 of a layer with ΔW = 0, which any rank holds."""
    spectrum = Spectrum(values)
    return 1 if spectrum.is_zero else min(int(spectrum.energy_rank(share)), len(values))


def _above_noise(values: Tensor, shape: Shape, threshold: str, thin: bool) -> int:
    """Directions above the threshold for noise with the same median; 1 of a layer with ΔW = 0."""
    if not values.max() > 0:
        return 1
    rank = len(values)
    edge = factor_edge(shape, rank) if thin else gaussian_edge(shape)
    if threshold == "optimal":
        edge *= optimal_over_edge(rank / min(shape) if thin else min(shape) / max(shape))
    return int((values > edge * values.median()).sum())


def _spread(adapter: Editable, budget: int) -> Mapping[str, int]:
    """Layer → rank: the directions with the most σ² a parameter first, at least one in each layer."""
    costs = {name: d_out + d_in for name, (d_out, d_in) in adapter.shapes.items()}
    fixed = sum(d_out for d_out, _ in adapter.shapes.values()) if adapter.is_dora else 0  # DoRA's magnitudes
    left = budget - fixed - sum(costs.values())
    if left < 0:
        raise BadInput(
            f"compress:parameters={budget:,} would leave rank 0 in a layer; "
            f"rank 1 in all {len(costs)} takes {budget - left:,}, or take layers out with keep-layers"
        )
    ranks = dict.fromkeys(costs, 1)
    energies = {name: svd_of(adapter.read(name).delta).values.square().tolist() for name in costs}
    queue = [(-energies[name][1] / costs[name], name) for name in costs if len(energies[name]) > 1]
    heapq.heapify(queue)
    while queue:
        _, name = heapq.heappop(queue)
        if costs[name] > left:
            continue
        left -= costs[name]
        ranks[name] += 1
        if ranks[name] < len(energies[name]):
            heapq.heappush(queue, (-energies[name][ranks[name]] / costs[name], name))
    return ranks


ROW: ActRow = ActRow("keeps the leading singular directions", CompressOptions, compressed, "compress:rank=1")
