"""What matrices without any structure would show: the values that measured ones are held against.

Closed forms where they are known; else a simulation with a fixed seed, made cheap by Bartlett's decomposition: the
triangular factor of a d × r Gaussian matrix has χ-distributed entries on its diagonal and normal ones above it, so
that d costs nothing.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from scipy import integrate, optimize, stats

from neatlab.analysis.spectra import Spectrum

DRAWS = 64


@dataclass(frozen=True)
class Baseline:
    """A quantity of a random matrix.

    Args:
        mean: Its expectation.
        std: Its standard deviation over draws.
    """

    mean: float
    std: float


@dataclass(frozen=True)
class RankBaseline:
    """The three ranks of a random matrix."""

    effective: Baseline
    stable: Baseline
    participation: Baseline


def similarity(dimension: int, i: int, j: int) -> Baseline:
    """‖AᵀB‖²_F/min(i, j) of random subspaces of dimensions i and j in ℝ^d.

    E‖AᵀB‖²_F = ij/d and Var‖AᵀB‖²_F = 2ij(d−i)(d−j)/(d²(d−1)(d+2)), both exact.

    Args:
        dimension: d.
        i: Dimension of the first.
        j: Dimension of the second.
    """
    d, smaller = dimension, min(i, j)
    if d == 1:
        return Baseline(1.0, 0.0)
    variance = 2 * i * j * (d - i) * (d - j) / (d**2 * (d - 1) * (d + 2))
    return Baseline(i * j / d / smaller, math.sqrt(variance) / smaller)


def largest_cosine(dimension: int, count: int) -> float:
    """Median of the largest |cosine| between a random direction and `count` orthonormal ones in ℝ^d.

    A squared cosine is Beta(1/2, (d−1)/2); the largest is taken as if the `count` were independent, which holds the
    better the larger d is.

    Args:
        dimension: d.
        count: How many directions it could resemble.
    """
    if dimension == 1:
        return 1.0
    return math.sqrt(float(stats.beta.ppf(0.5 ** (1 / count), 0.5, (dimension - 1) / 2)))


def amplification(delta_norm: float, weight_norm: float, shape: tuple[int, int], rank: int) -> float:
    """‖ΔW‖_F/√E‖UᵀW₀V‖²_F for random U and V: E = r²‖W₀‖²_F/(d_out·d_in), exact.

    Args:
        delta_norm: ‖ΔW‖_F.
        weight_norm: ‖W₀‖_F.
        shape: (d_out, d_in).
        rank: r, the directions of ΔW.
    """
    inner = rank * weight_norm / math.sqrt(shape[0] * shape[1])
    return delta_norm / inner if inner > 0 else math.inf


@lru_cache(maxsize=256)
def factor_ranks(shape: tuple[int, int], rank: int, draws: int = DRAWS, seed: int = 0) -> RankBaseline:
    """Ranks of a product of Gaussian factors, d_out × r and r × d_in: what r directions give when none is preferred.

    Args:
        shape: (d_out, d_in).
        rank: r.
        draws: How many products are drawn.
        seed: Of the draws.
    """
    generator = np.random.default_rng(seed)
    spectra = [Spectrum(_product_spectrum(shape, rank, generator)) for _ in range(draws)]
    return RankBaseline(
        *(
            _summary([getattr(spectrum, name) for spectrum in spectra])
            for name in ("effective_rank", "stable_rank", "participation_ratio")
        )
    )


def _product_spectrum(shape: tuple[int, int], rank: int, generator: np.random.Generator) -> torch.Tensor:
    core = bartlett(shape[0], rank, generator) @ bartlett(shape[1], rank, generator).T
    return torch.from_numpy(np.linalg.svd(core, compute_uv=False))


def bartlett(dimension: int, rank: int, generator: np.random.Generator) -> np.ndarray:
    """A triangular factor with the distribution of that of a `dimension` × `rank` Gaussian matrix.

    Args:
        dimension: d.
        rank: r.
        generator: Source of the draws.

    Returns:
        min(d, r) × r, upper triangular.
    """
    rows = min(dimension, rank)
    factor = np.triu(generator.standard_normal((rows, rank)), 1)
    factor[np.arange(rows), np.arange(rows)] = np.sqrt(generator.chisquare(dimension - np.arange(rows)))
    return factor


@lru_cache(maxsize=256)
def gaussian_ranks(shape: tuple[int, int]) -> RankBaseline:
    """Ranks of one Gaussian matrix with no bound on its rank, in the limit of large sides (Marchenko & Pastur 1967).

    With n ≤ m: stable nm/(√n+√m)², participation nm/(n+m), effective by quadrature over the density; the spread
    vanishes in that limit and is given as 0.

    Args:
        shape: (d_out, d_in).
    """
    n, m = sorted(shape)
    low, high = (1 - math.sqrt(n / m)) ** 2, (1 + math.sqrt(n / m)) ** 2

    def density(s: float) -> float:  # of σ/√m
        return m / n * math.sqrt(max(0.0, (high - s * s) * (s * s - low))) / (math.pi * s)

    edges = (math.sqrt(low), math.sqrt(high))
    mean, _ = integrate.quad(lambda s: s * density(s), *edges)
    mean_log, _ = integrate.quad(lambda s: s * math.log(s) * density(s) if s > 0 else 0.0, *edges)
    effective = n * mean * math.exp(-mean_log / mean)
    stable = n * m / (math.sqrt(n) + math.sqrt(m)) ** 2
    return RankBaseline(Baseline(effective, 0.0), Baseline(stable, 0.0), Baseline(n * m / (n + m), 0.0))


@lru_cache(maxsize=256)
def factor_edge(shape: tuple[int, int], rank: int, draws: int = DRAWS, seed: int = 0) -> float:
    """Largest over median singular value of a product of Gaussian factors, d_out × r and r × d_in.

    Args:
        shape: (d_out, d_in).
        rank: r.
        draws: How many products are drawn.
        seed: Of the draws.
    """
    generator = np.random.default_rng(seed)
    values = [_product_spectrum(shape, rank, generator).numpy() for _ in range(draws)]
    return float(np.mean([drawn.max() for drawn in values]) / np.mean([np.median(drawn) for drawn in values]))


@lru_cache(maxsize=256)
def gaussian_edge(shape: tuple[int, int]) -> float:
    """Largest over median singular value of one Gaussian matrix, in the limit of large sides (Marchenko & Pastur 1967).

    Args:
        shape: (d_out, d_in).
    """
    beta = min(shape) / max(shape)
    low, high = (1 - math.sqrt(beta)) ** 2, (1 + math.sqrt(beta)) ** 2

    def below(t: float) -> float:  # of σ²/m
        density = lambda x: math.sqrt(max(0.0, (high - x) * (x - low))) / (2 * math.pi * beta * x)  # noqa: E731
        return float(integrate.quad(density, low, t)[0])

    median = optimize.brentq(lambda t: below(t) - 0.5, low + 1e-12, high)
    return math.sqrt(high / median)


def optimal_over_edge(beta: float) -> float:
    """The optimal hard threshold over the upper edge 1 + √β of the noise, both in units of the noise.

    λ(β) = √(2(β + 1) + 8β/(β + 1 + √(β² + 14β + 1))): what lies below adds more noise than signal.

    Args:
        beta: The smaller over the larger side of the noise.

    Source: Gavish & Donoho (arXiv:1305.5870), equation 11.
    """
    root = math.sqrt(beta**2 + 14 * beta + 1)
    return math.sqrt(2 * (beta + 1) + 8 * beta / (beta + 1 + root)) / (1 + math.sqrt(beta))


@lru_cache(maxsize=256)
def principal_angles(dimension: int, i: int, j: int, draws: int = DRAWS, seed: int = 0) -> tuple[Baseline, ...]:
    """Principal angles between random subspaces of dimensions i and j in ℝ^d, in radians, smallest first.

    With the first space on the first i axes, the cosines are the singular values of the upper i rows of an
    orthonormal basis of the second, G(GᵀG)^(−1/2); the lower rows enter by their triangular factor alone.

    Args:
        dimension: d.
        i: Dimension of the first.
        j: Dimension of the second.
        draws: How many pairs are drawn.
        seed: Of the draws.

    Returns:
        min(i, j) baselines.
    """
    generator = np.random.default_rng(seed)
    drawn = np.array([_random_angles(dimension, i, j, generator) for _ in range(draws)])
    return tuple(_summary(column) for column in drawn.T)


def _random_angles(dimension: int, i: int, j: int, generator: np.random.Generator) -> np.ndarray:
    upper = generator.standard_normal((i, j))
    lower = bartlett(dimension - i, j, generator) if dimension > i else np.zeros((0, j))
    basis, _ = np.linalg.qr(np.vstack([upper, lower]))
    return np.arccos(np.clip(np.linalg.svd(basis[:i], compute_uv=False), 0, 1))[: min(i, j)]


def _summary(values: list[float] | np.ndarray) -> Baseline:
    return Baseline(float(np.mean(values)), float(np.std(values, ddof=1)))
