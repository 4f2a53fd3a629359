"""Spectral quantities against known answers and their order."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neatlab.adapters.factors import Factors
from neatlab.analysis.spectra import Spectrum, spectrum

values = st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=32)


def of(*sigma: float) -> Spectrum:
    return Spectrum(torch.tensor(sorted(sigma, reverse=True), dtype=torch.float64))


@pytest.mark.parametrize("rank", [1, 3, 8])
def test_equal_singular_values_count_fully(rank):
    found = of(*[2.5] * rank)
    for quantity in (found.effective_rank, found.stable_rank, found.participation_ratio):
        assert quantity == pytest.approx(rank)
    assert found.norm == pytest.approx(2.5 * math.sqrt(rank))


def test_known_answers():
    found = of(2, 1)
    p = (2 / 3, 1 / 3)
    assert found.effective_rank == pytest.approx(math.exp(-sum(x * math.log(x) for x in p)))
    assert found.stable_rank == pytest.approx(5 / 4)
    assert found.participation_ratio == pytest.approx(25 / 17)
    assert found.energy_rank(0.8) == 1
    assert found.energy_rank(0.9) == 2


@settings(max_examples=50)
@given(values)
def test_order_of_the_ranks(sigma):
    found = of(*sigma)
    slack = 1 + 1e-9
    assert 1 / slack <= found.stable_rank <= found.participation_ratio * slack
    assert found.participation_ratio <= found.effective_rank * slack**2
    assert found.effective_rank <= len(sigma) * slack
    assert 1 <= found.energy_rank() <= len(sigma)


@settings(max_examples=50)
@given(values, st.floats(1e-3, 1e3))
def test_scale_does_not_matter(sigma, scale):
    a, b = of(*sigma), of(*[scale * s for s in sigma])
    assert a.effective_rank == pytest.approx(b.effective_rank)
    assert a.stable_rank == pytest.approx(b.stable_rank)
    assert a.participation_ratio == pytest.approx(b.participation_ratio)


def test_zero_update_is_nan_with_a_reason():
    found = spectrum(Factors(torch.zeros(6, 2), torch.randn(2, 5)))
    assert found.is_zero
    assert found.norm == 0
    for quantity in (found.effective_rank, found.stable_rank, found.participation_ratio, found.energy_rank()):
        assert math.isnan(quantity)


def test_dense_and_thin_agree():
    pair = Factors(torch.randn(20, 3), torch.randn(3, 11))
    thin, dense = spectrum(pair), spectrum(pair.dense())
    assert torch.allclose(thin.singular_values, dense.singular_values[:3], rtol=1e-5)
    assert thin.effective_rank == pytest.approx(dense.effective_rank, rel=1e-4)
