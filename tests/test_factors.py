"""A matrix kept as two thin factors against the dense matrix."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neatlab.adapters.factors import Factors

sizes = st.integers(1, 24)


@st.composite
def factors(draw):
    d_out, d_in, rank = draw(sizes), draw(sizes), draw(st.integers(1, 12))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    left = torch.randn(d_out, rank, generator=generator)
    right = torch.randn(rank, d_in, generator=generator)
    if draw(st.booleans()):  # a rank below the number of factors
        left[:, -1] = left[:, 0]
    return Factors(left, right * draw(st.sampled_from([1e-4, 1.0, 1e4])))


@settings(max_examples=60)
@given(factors())
def test_thin_spectrum_norm_and_svd_equal_the_dense_ones(pair):
    dense = pair.left.double() @ pair.right.double()
    expected = torch.linalg.svdvals(dense)
    found = pair.singular_values()
    shared = min(len(expected), len(found))
    scale = expected[0]
    assert torch.allclose(found[:shared], expected[:shared], rtol=1e-5, atol=1e-9 * scale)
    assert (found[shared:] <= 1e-9 * scale).all()
    assert torch.allclose(pair.norm(), dense.norm(), rtol=1e-9)
    u, s, vh = pair.svd()
    assert torch.allclose(u * s @ vh, dense, atol=1e-8 * scale)


@settings(max_examples=30)
@given(factors())
def test_apply_and_add_equal_the_dense_product(pair):
    x = torch.randn(2, 3, pair.shape[1])
    expected = x @ pair.dense().T
    scale = float(expected.abs().max()) + 1e-6
    assert torch.allclose(pair.apply(x), expected, atol=1e-4 * scale)
    base = torch.randn(2, 3, pair.shape[0])
    assert torch.allclose(pair.add_to(base, x), base + expected, atol=1e-4 * max(scale, 1))


@pytest.mark.parametrize(("d", "rank"), [(256, 8), (300, 32)])
def test_thin_spectrum_of_float32_factors_to_1e_5(d, rank):
    pair = Factors(torch.randn(d, rank), torch.randn(rank, d + 7))
    expected = torch.linalg.svdvals(pair.dense())[:rank]
    assert ((pair.singular_values() - expected).abs() <= 1e-5 * expected[0]).all()
