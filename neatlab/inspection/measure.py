"""Everything that one layer's ΔW shows, alone and compared with W₀."""

import math
import re
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from neatlab.adapters.factors import Factors
from neatlab.analysis import random_matrix
from neatlab.analysis.partial_svd import EXACT_BELOW, OUTGROWN, Gram, PartialSvd, leading_svd
from neatlab.analysis.random_matrix import Baseline
from neatlab.analysis.spectra import Spectrum, spectrum
from neatlab.analysis.subspaces import (
    Directions,
    DoraChange,
    Intruders,
    amplification,
    directions,
    intruders,
    row_change,
    subspace_similarity,
)
from neatlab.inspection.cache import cached_svd
from neatlab.inspection.source import Layer

MAX_AMPLIFIED = 16  # leading directions of a dense ΔW that its amplification is of
NEGLIGIBLE = 1e-12  # of the largest component: a hidden unit that adds nothing


@dataclass(frozen=True)
class Overlap:
    """Similarity φ of ΔW's and W₀'s leading directions on one side, and what random directions would give.

    Args:
        similarity: ‖AᵀB‖²_F/min(i, j).
        baseline: Of random subspaces of the same sizes.
    """

    similarity: float
    baseline: Baseline


@dataclass(frozen=True)
class BaseComparison:
    """What ΔW shows in comparison with W₀.

    Args:
        weight_norm: ‖W₀‖_F.
        relative_norm: ‖ΔW‖_F/‖W₀‖_F.
        amplification: ‖UᵀΔWV‖_F/‖UᵀW₀V‖_F, in ΔW's directions.
        random_amplification: The same for random directions.
        amplified: How many directions these are: all of thin factors, the leading ones where ΔW is dense.
        left: Overlap of what both write; None where it was not asked for.
        right: Overlap of what both read.
        compared: Leading directions of W₀ that were compared.
        angle_bound: Upper bound on the sine of the angle by which W₀'s leading directions may be off.
        intruders: Leading vectors of W₀ + ΔW without a partner in W₀.
        random_intruders: The same of a random ΔW of this shape, rank and norm.
        random_cosine: The largest cosine that a random direction would have to W₀'s.
        dora: Change of magnitude and direction, for DoRA.
    """

    weight_norm: float
    relative_norm: float
    amplification: float
    random_amplification: float
    amplified: int
    left: Overlap | None = None
    right: Overlap | None = None
    compared: int = 0
    angle_bound: float = math.nan
    intruders: Intruders | None = None
    random_intruders: Intruders | None = None
    random_cosine: float = math.nan
    dora: DoraChange | None = None


@dataclass(frozen=True)
class LayerReport:
    """One layer's ΔW in figures.

    Args:
        name: The layer.
        shape: (d_out, d_in).
        rank: Ceiling on the rank of ΔW: its thin factors' r, else the smaller side.
        requested_rank: The rank that was asked for; None for methods without one.
        spectrum: Singular values, up to `rank`.
        random_ranks: Ranks that random factors of this shape and rank have; a random matrix where ΔW is dense.
        dead_units: Hidden units, or pairs of factors, that add nothing; None where ΔW is dense.
        against_base: What needs W₀; None without it.
    """

    name: str
    shape: tuple[int, int]
    rank: int
    requested_rank: int | None
    spectrum: Spectrum
    random_ranks: random_matrix.RankBaseline
    dead_units: int | None
    against_base: BaseComparison | None

    @property
    def kind(self) -> str:
        """The layer's place in its block, such as "self_attn.q_proj"."""
        return split_name(self.name)[0]

    @property
    def depth(self) -> int | None:
        """Number of the block; None outside the blocks."""
        return split_name(self.name)[1]

    @property
    def note(self) -> str:
        """Why quantities are missing; empty where none is."""
        return "ΔW = 0, so it has no directions" if self.spectrum.is_zero else ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values; NaN where a quantity does not exist, and `note` says why."""
        spectrum = self.spectrum
        return {
            "name": self.name,
            "shape": list(self.shape),
            "kind": self.kind,
            "depth": self.depth,
            "rank": self.rank,
            "asked_rank": self.requested_rank,
            "singular_values": spectrum.singular_values.tolist(),
            "effective_rank": spectrum.effective_rank,
            "stable_rank": spectrum.stable_rank,
            "participation_ratio": spectrum.participation_ratio,
            "energy_rank_90": spectrum.energy_rank(),
            "norm": spectrum.norm,
            "random_effective_rank": self.random_ranks.effective.mean,
            "random_stable_rank": self.random_ranks.stable.mean,
            "dead_units": self.dead_units,
            "note": self.note,
            **({} if self.against_base is None else _comparison_dict(self.against_base)),
        }


def _comparison_dict(comparison: BaseComparison) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "weight_norm": comparison.weight_norm,
        "relative_norm": comparison.relative_norm,
        "amplification": comparison.amplification,
        "random_amplification": comparison.random_amplification,
        "amplified_directions": comparison.amplified,
    }
    for side in ("left", "right"):
        overlap: Overlap | None = getattr(comparison, side)
        if overlap is not None:
            plain |= {
                f"overlap_{side}": overlap.similarity,
                f"random_overlap_{side}": overlap.baseline.mean,
                f"random_overlap_{side}_std": overlap.baseline.std,
            }
    if comparison.intruders is not None:
        plain |= {
            "directions_of_w0": comparison.compared,
            "directions_error_bound": comparison.angle_bound,
            "intruders": comparison.intruders.count,
            "intruders_undecided": comparison.intruders.undecided,
            "intruder_cosines": comparison.intruders.cosines.tolist(),
            "intruder_threshold": comparison.intruders.epsilon,
            "random_intruders": comparison.random_intruders.count if comparison.random_intruders else None,
            "random_intruders_undecided": comparison.random_intruders.undecided
            if comparison.random_intruders
            else None,
            "random_cosine": comparison.random_cosine,
        }
    return plain | ({"dora": asdict(comparison.dora)} if comparison.dora else {})


def split_name(name: str) -> tuple[str, int | None]:
    """(place in its block, number of the block) of a layer; experts of one block share a place.

    Names without a dot, such as Kohya's, are split at the numbers between their underscores.
    """
    parts = (name if "." in name else re.sub(r"_(?=\d+_)|(?<=\d)_", ".", name)).split(".")
    numbers = [index for index, part in enumerate(parts) if part.isdecimal()]
    if not numbers or numbers[0] + 1 == len(parts):
        return parts[-1] if not numbers else name, None
    rest = ".".join(parts[numbers[0] + 1 :])
    return re.sub(r"\b\d+\b", "*", rest), int(parts[numbers[0]])


def measure(name: str, layer: Layer, count: int = 16, dora: bool = False) -> LayerReport:
    """Every quantity of one layer.

    Args:
        name: The layer.
        layer: ΔW, and W₀ where it is known.
        count: Leading directions of W₀ to compare with, at most a quarter of the smaller side: all of them overlap
            with anything. 0 for none, which saves their SVD.
        dora: Whether to split the change into magnitude and direction.
    """
    delta = layer.delta
    shape = (delta.shape[0], delta.shape[1])
    thin = isinstance(delta, Factors)
    rank = min(delta.rank, *shape) if isinstance(delta, Factors) else min(shape)
    random_ranks = random_matrix.factor_ranks(shape, rank) if thin else random_matrix.gaussian_ranks(shape)
    of_delta = Spectrum(spectrum(delta).singular_values[:rank])
    against_base = None if layer.weight is None else _compare(layer, layer.weight, of_delta, count, dora)
    return LayerReport(
        name, shape, rank, layer.requested_rank, of_delta, random_ranks, _dead_units(layer), against_base
    )


def _dead_units(layer: Layer) -> int | None:
    """Components leftᵢ rightᵢ of the product that are zero while others are not."""
    if not isinstance(layer.delta, Factors):
        return None
    sizes = layer.delta.left.double().norm(dim=0) * layer.delta.right.double().norm(dim=1)
    return int((sizes <= NEGLIGIBLE * sizes.max()).sum()) if sizes.max() > 0 else 0


def _compare(layer: Layer, weight: Tensor, of_delta: Spectrum, count: int, dora: bool) -> BaseComparison:
    thin = isinstance(layer.delta, Factors)
    update = directions(layer.delta, None if thin else max(count, MAX_AMPLIFIED))
    leading = update if thin else update.first(MAX_AMPLIFIED)
    norm = _norm(weight)
    shape = (weight.shape[0], weight.shape[1])
    comparison = BaseComparison(
        weight_norm=norm,
        relative_norm=of_delta.norm / norm if norm > 0 else math.inf,
        amplification=amplification(leading, weight),
        random_amplification=random_matrix.amplification(
            float(leading.values.norm()), norm, shape, max(len(leading), 1)
        ),
        amplified=len(leading),
        dora=row_change(weight, _dense(layer)) if dora else None,
    )
    if count == 0 or of_delta.is_zero:
        return comparison
    return replace(comparison, **_overlaps(layer, weight, update, of_delta, count))


def _dense(layer: Layer) -> Tensor:
    return layer.delta.dense() if isinstance(layer.delta, Factors) else layer.delta


def _norm(weight: Tensor, rows: int = 256) -> float:
    """‖W‖_F, raised to float32 at least block by block; the blocks' sums are added in float64."""
    flat = (block.to(torch.promote_types(block.dtype, torch.float32)).flatten() for block in weight.split(rows))
    return math.sqrt(sum(float(torch.dot(block, block)) for block in flat))


def _overlaps(layer: Layer, weight: Tensor, update: Directions, of_delta: Spectrum, count: int) -> dict[str, Any]:
    gram, count = Gram(weight), max(1, min(count, min(weight.shape) // 4))
    known = count if min(weight.shape) > EXACT_BELOW else min(weight.shape)
    before = cached_svd(layer.key, known, lambda: gram.leading(known))
    after = _after(gram, layer, count)
    random = gram.leading(count, _random(of_delta.singular_values, weight))
    return {
        "compared": min(count, len(before.values)),
        "angle_bound": before.angle_bound,
        "left": _overlap(update.left[:, :count], before.left[:, :count]),
        "right": _overlap(update.right[:, :count], before.right[:, :count]),
        "intruders": intruders(after, before, bound=gram.largest_share),
        "random_intruders": intruders(random, before, bound=gram.largest_share),
        "random_cosine": random_matrix.largest_cosine(weight.shape[0], len(before.values)),
    }


def _overlap(of_delta: Tensor, of_base: Tensor) -> Overlap:
    """Overlap of two orthonormal bases, d × i and d × j."""
    (d, i), j = of_delta.shape, of_base.shape[1]
    return Overlap(subspace_similarity(of_delta, of_base), random_matrix.similarity(d, i, j))


def _after(gram: Gram, layer: Layer, count: int) -> PartialSvd:
    if isinstance(layer.delta, Factors):
        return gram.leading(count, layer.delta)
    dtype = layer.delta.dtype
    if float(layer.delta.norm()) > OUTGROWN * _norm(gram.weight):  # W₀ would be rounding in a float32 sum
        dtype = torch.float64
    return leading_svd(gram.weight.to(dtype) + layer.delta, count)


def _random(values: Tensor, weight: Tensor) -> Factors:
    """A ΔW with these singular values and random directions, the same ones every time."""
    generator, rank = torch.Generator().manual_seed(0), len(values)
    dtype = torch.float64 if rank <= EXACT_BELOW else torch.float32
    left, right = (
        torch.linalg.qr(torch.randn(side, rank, generator=generator, dtype=dtype))[0] for side in weight.shape
    )
    return Factors(left * values.to(dtype), right.T)
