"""Baselines against simulations of the matrices that they speak of, within the simulations' own sampling error."""

import math

import pytest
import torch

from neatlab.adapters.factors import Factors
from neatlab.analysis import random_matrix
from neatlab.analysis.spectra import spectrum
from neatlab.analysis.subspaces import amplification, directions, principal_angles, subspace_similarity

SHAPES = [((40, 30), 3), ((64, 16), 8), ((5, 50), 5)]


def basis(d, k):
    return torch.linalg.qr(torch.randn(d, k, dtype=torch.float64))[0]


def near(values, mean, std=None, slack=0.0):
    """Whether the sample's mean is `mean` within four standard errors."""
    sample = torch.tensor(values, dtype=torch.float64)
    error = float(sample.std() if std is None else torch.tensor(std)) / math.sqrt(len(values))
    return abs(float(sample.mean()) - mean) <= 4 * error + slack


@pytest.mark.parametrize(("d", "i", "j"), [(10, 2, 3), (30, 5, 5), (8, 8, 3), (50, 1, 20)])
def test_similarity_mean_and_spread(d, i, j):
    found = [subspace_similarity(basis(d, i), basis(d, j)) for _ in range(400)]
    expected = random_matrix.similarity(d, i, j)
    assert near(found, expected.mean, expected.std, slack=1e-9)
    assert float(torch.tensor(found).std()) == pytest.approx(expected.std, rel=0.15, abs=1e-9)


def test_similarity_of_a_line_with_itself():
    assert random_matrix.similarity(1, 1, 1) == random_matrix.Baseline(1.0, 0.0)
    assert random_matrix.largest_cosine(1, 1) == 1


@pytest.mark.parametrize(("d", "count"), [(40, 1), (40, 16), (200, 64)])
def test_largest_cosine_is_the_median_of_a_simulation(d, count):
    drawn = torch.randn(2000, d, dtype=torch.float64)
    largest = (drawn[:, :count].abs().max(dim=1).values / drawn.norm(dim=1)).sort().values
    low, high = largest[900], largest[1100]  # the median's own 4.5 σ interval
    assert float(low) <= random_matrix.largest_cosine(d, count) <= float(high)


@pytest.mark.parametrize(("shape", "rank"), SHAPES)
def test_amplification_of_random_directions(shape, rank):
    weight = torch.randn(shape, dtype=torch.float64)
    squares = []
    for _ in range(200):
        pair = Factors(torch.randn(shape[0], rank), torch.randn(rank, shape[1]))
        squares.append((float(pair.norm()) / amplification(directions(pair), weight)) ** 2)
    expected = random_matrix.amplification(1.0, float(weight.norm()), shape, rank)
    assert near(squares, 1 / expected**2)
    assert random_matrix.amplification(1.0, 0.0, shape, rank) == math.inf


@pytest.mark.parametrize(("shape", "rank"), SHAPES)
def test_ranks_of_products_of_factors(shape, rank):
    found = random_matrix.factor_ranks(shape, rank, draws=300, seed=1)
    drawn = [
        spectrum(Factors(torch.randn(shape[0], rank), torch.randn(rank, shape[1])).dense().double()) for _ in range(300)
    ]
    for expected, name in (
        (found.effective, "effective_rank"),
        (found.stable, "stable_rank"),
        (found.participation, "participation_ratio"),
    ):
        values = [getattr(one, name) for one in drawn]
        assert near(values, expected.mean, math.hypot(expected.std, float(torch.tensor(values).std())), slack=1e-6)
        assert float(torch.tensor(values).std()) == pytest.approx(expected.std, rel=0.25)


def test_simulations_are_repeatable_and_seeded():
    first = random_matrix.factor_ranks((20, 10), 3, seed=1)
    random_matrix.factor_ranks.cache_clear()
    assert random_matrix.factor_ranks((20, 10), 3, seed=1) == first
    assert random_matrix.factor_ranks((20, 10), 3, seed=2) != first


@pytest.mark.parametrize("shape", [(400, 300), (200, 500), (300, 300)])
def test_ranks_of_a_gaussian_matrix(shape):
    found, drawn = random_matrix.gaussian_ranks(shape), spectrum(torch.randn(shape))
    assert found.effective.mean == pytest.approx(drawn.effective_rank, rel=0.01)
    assert found.stable.mean == pytest.approx(drawn.stable_rank, rel=0.04)
    assert found.participation.mean == pytest.approx(drawn.participation_ratio, rel=0.02)


@pytest.mark.parametrize(("d", "i", "j"), [(20, 3, 4), (12, 6, 2), (9, 9, 3)])
def test_principal_angles_of_random_subspaces(d, i, j):
    expected = random_matrix.principal_angles(d, i, j, draws=300)
    drawn = torch.stack([principal_angles(basis(d, i), basis(d, j)) for _ in range(300)])
    assert len(expected) == min(i, j)
    for column, baseline in zip(drawn.T.tolist(), expected, strict=True):
        spread = math.hypot(baseline.std, float(torch.tensor(column).std()))
        assert near(column, baseline.mean, spread, slack=1e-6)
