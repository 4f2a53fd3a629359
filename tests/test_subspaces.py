"""Directions of ΔW and of W₀ against dense float64 computations and known answers; partial SVDs against full ones."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neatlab.adapters.factors import Factors
from neatlab.analysis import random_matrix
from neatlab.analysis.partial_svd import Gram, largest_share, leading_svd
from neatlab.analysis.spectra import spectrum
from neatlab.analysis.subspaces import (
    amplification,
    cosine,
    directions,
    intruders,
    principal_angles,
    row_change,
    shared_energy,
    similarity_grid,
    subspace_similarity,
)

few = settings(max_examples=25)
seeds = st.integers(0, 2**31)
sizes = st.integers(2, 20)


def draw(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def basis(seed, d, k):
    return torch.linalg.qr(draw(seed, d, k))[0]


def thin(seed, d_out=18, d_in=13, rank=4):
    return Factors(draw(seed, d_out, rank), draw(seed + 1, rank, d_in))


def decaying(d_out, d_in, seed=0, rate=0.8):
    """A matrix with σᵢ = rateⁱ, and its singular vectors."""
    k = min(d_out, d_in)
    u, v, s = basis(seed, d_out, k), basis(seed + 1, d_in, k), rate ** torch.arange(k, dtype=torch.float64)
    return u * s @ v.T, u, s, v


@few
@given(seeds, sizes, sizes, sizes)
def test_similarity_is_the_definition_and_lies_in_0_1(seed, d, i, j):
    a, b = basis(seed, d, min(i, d)), basis(seed + 1, d, min(j, d))
    projected = torch.trace(a @ a.T @ b @ b.T) / min(a.shape[1], b.shape[1])
    found = subspace_similarity(a, b)
    assert found == pytest.approx(float(projected))
    assert -1e-12 <= found <= 1 + 1e-12
    assert found == pytest.approx(subspace_similarity(b, a))
    assert float(similarity_grid(a, b)[-1, -1]) == pytest.approx(found)


@few
@given(seeds)
def test_similarity_depends_on_the_spaces_alone(seed):
    a, b, turn = basis(seed, 12, 3), basis(seed + 1, 12, 5), basis(seed + 2, 12, 12)
    mixed = a @ basis(seed + 3, 3, 3)
    assert subspace_similarity(mixed, b) == pytest.approx(subspace_similarity(a, b))
    assert subspace_similarity(turn @ a, turn @ b) == pytest.approx(subspace_similarity(a, b))


def test_similarity_known_answers():
    axes = torch.eye(8, dtype=torch.float64)
    assert subspace_similarity(axes[:, :3], axes[:, :5]) == 1
    assert subspace_similarity(axes[:, :3], axes[:, 3:6]) == 0
    assert subspace_similarity(axes[:, :2], axes[:, 1:5]) == 0.5
    assert math.isnan(subspace_similarity(axes[:, :0], axes))
    grid = similarity_grid(axes[:, :2], axes[:, 1:3])
    assert grid.tolist() == [[0, 0], [1, 0.5]]


def test_similarity_grid_is_the_similarity_of_every_pair():
    a, b = basis(3, 9, 4), basis(4, 9, 6)
    grid = similarity_grid(a, b)
    for i in range(1, 5):
        for j in range(1, 7):
            assert float(grid[i - 1, j - 1]) == pytest.approx(subspace_similarity(a[:, :i], b[:, :j]))


@few
@given(seeds, st.floats(1e-3, 1e3))
def test_directions_of_thin_factors_are_those_of_the_dense_matrix(seed, scale):
    pair = thin(seed)
    pair = Factors(pair.left * scale, pair.right)
    found, dense = directions(pair), directions(pair.dense())
    assert len(found) == len(dense) == 4
    assert torch.allclose(found.values, dense.values, rtol=1e-9)
    assert subspace_similarity(found.left, dense.left) == pytest.approx(1)
    assert subspace_similarity(found.right, dense.right) == pytest.approx(1)
    assert torch.allclose(found.left * found.values @ found.right.T, pair.dense(), atol=1e-9 * scale)


def test_directions_leave_rounding_and_nothing_out():
    pair = thin(1)
    pair.left[:, 3] = pair.left[:, 0]
    assert len(directions(pair)) == len(directions(pair.dense())) == 3
    assert len(directions(pair, count=2)) == 2
    zero = directions(Factors(torch.zeros(5, 2), torch.randn(2, 4)))
    assert len(zero) == 0
    assert zero.left.shape == (5, 0)
    assert math.isnan(amplification(zero, torch.ones(5, 4)))
    assert math.isnan(cosine(zero, zero))
    assert principal_angles(zero.left, zero.left).tolist() == []
    assert math.isnan(shared_energy(zero, zero)["left"])


def test_amplification_is_the_definition_and_knows_a_structured_answer():
    weight, pair = draw(5, 18, 13), thin(6)
    u, s, vh = torch.linalg.svd(pair.dense(), full_matrices=False)
    inner = u[:, :4].T @ weight @ vh[:4].T
    assert amplification(directions(pair), weight) == pytest.approx(float(s.norm() / inner.norm()), rel=1e-9)
    weight, u, s, v = decaying(18, 13)
    update = Factors(u[:, 2:4] * 3 * s[2:4], v[:, 2:4].T)  # three times what W₀ does in two of its directions
    assert amplification(directions(update), weight) == pytest.approx(3)
    assert amplification(directions(update), weight.bfloat16()) == pytest.approx(3, rel=0.02)


def test_principal_angles_known_answers_down_to_tiny_ones():
    axes = torch.eye(6, dtype=torch.float64)
    for angle in (1e-9, 0.3, math.pi / 2):
        turned = math.cos(angle) * axes[:, 1:2] + math.sin(angle) * axes[:, 5:6]
        found = principal_angles(axes[:, :2], torch.cat([axes[:, 0:1], turned], 1))
        assert found.tolist() == pytest.approx([0, angle], abs=1e-12)


@few
@given(seeds)
def test_squared_cosines_of_the_angles_sum_to_the_similarity(seed):
    a, b = basis(seed, 15, 3), basis(seed + 9, 15, 6)
    found = principal_angles(a, b)
    assert found.tolist() == sorted(found.tolist())
    assert float(found.cos().square().sum()) / 3 == pytest.approx(subspace_similarity(a, b))


@few
@given(seeds)
def test_shared_energy_and_cosine_are_the_dense_ones(seed):
    a, b = thin(seed), thin(seed + 5, rank=2)
    dense_a, dense_b = a.dense(), b.dense()
    within = directions(b)
    shares = shared_energy(directions(a), within)
    left = (within.left @ within.left.T @ dense_a).square().sum() / dense_a.square().sum()
    right = (dense_a @ within.right @ within.right.T).square().sum() / dense_a.square().sum()
    assert shares == {"left": pytest.approx(float(left)), "right": pytest.approx(float(right))}
    assert all(0 <= share <= 1 + 1e-12 for share in shares.values())
    inner = (dense_a * dense_b).sum() / (dense_a.norm() * dense_b.norm())
    assert cosine(directions(a), within) == pytest.approx(float(inner), abs=1e-12)
    assert cosine(within, within) == pytest.approx(1)


def dense_intruders(weight, after, k, epsilon):
    """Algorithm 1 of arXiv:2410.21228 as written there."""
    u0 = torch.linalg.svd(weight.double(), full_matrices=False)[0]
    u1 = torch.linalg.svd(after.double(), full_matrices=False)[0]
    return [j for j in range(k) if (u0.T @ u1[:, j]).abs().max() < epsilon]


@few
@given(seeds, st.floats(0, 3))
def test_intruders_are_the_papers_where_all_of_w0_is_known(seed, strength):
    weight, pair = draw(seed, 20, 16), thin(seed + 1, 20, 16, 3)
    after = leading_svd(weight, 6, Factors(pair.left * strength, pair.right))
    found = intruders(after, leading_svd(weight, 16))
    assert found.indices == dense_intruders(weight, weight + strength * pair.dense(), 6, 0.5)
    assert found.undecided == 0
    assert all(0 <= c <= 1 for c in found.cosines.tolist())


def test_a_strong_random_update_intrudes_and_a_scaling_of_w0_does_not():
    weight, u, s, v = decaying(60, 40, rate=0.9)
    strange = Factors(5 * basis(8, 60, 2), basis(9, 40, 2).T)
    own = Factors(u[:, 5:7] * s[5:7] * 4, v[:, 5:7].T)
    known = leading_svd(weight, 40)
    assert intruders(leading_svd(weight, 8, strange), known).indices == [0, 1]
    assert intruders(leading_svd(weight, 8, own), known).count == 0


def test_an_intruder_is_only_undecided_where_an_unknown_vector_could_be_its_partner():
    weight, u, _, v = decaying(60, 40, rate=0.9)
    raised = Factors(u[:, 30:31] * 5, v[:, 30:31].T)  # W₀'s 31st direction becomes the first
    after = leading_svd(weight, 4, raised)
    assert intruders(after, leading_svd(weight, 8)).undecided == 1
    assert intruders(after, leading_svd(weight, 8)).count == 0
    assert intruders(after, leading_svd(weight, 40)).undecided == 0


@few
@given(seeds, st.sampled_from([(24, 24), (30, 18), (18, 30)]), st.integers(2, 12), st.floats(0, 1))
def test_no_vector_of_w0_has_more_of_a_candidate_than_the_bound(seed, shape, steps, near):
    weight = decaying(*shape, rate=0.9)[0].float()
    true = torch.linalg.svd(weight.double(), full_matrices=False)[0]
    candidates = near * true[:, [0, 5, 17]] + (1 - near) * draw(seed, shape[0], 3) / math.sqrt(shape[0])
    candidates = candidates / candidates.norm(dim=0)
    most = (true.T @ candidates).square().max(dim=0).values
    assert (Gram(weight).largest_share(candidates) >= most - 1e-3).all()
    small = weight @ weight.T
    assert (largest_share(small, candidates.float(), steps) >= most - 1e-3).all()


@pytest.mark.parametrize(("d_out", "d_in"), [(300, 300), (450, 300), (300, 450)])
def test_the_bound_tells_intruders_in_layers_too_large_for_a_whole_svd(d_out, d_in):
    weight, u, _, v = decaying(d_out, d_in, rate=0.99)
    gram = Gram(weight.float())
    strange = Factors(5 * basis(8, d_out, 3), basis(9, d_in, 3).T)
    raised = Factors(u[:, 200:201] * 5, v[:, 200:201].T)  # W₀'s 201st direction becomes the first
    after, before = gram.leading(6, strange), gram.leading(6)
    found = intruders(after, before, bound=gram.largest_share)
    assert (found.indices, found.undecided) == ([0, 1, 2], 0)
    assert found.indices == dense_intruders(weight, weight + strange.dense(), 6, 0.5)
    found = intruders(gram.leading(6, raised), before, bound=gram.largest_share)
    assert (found.count, found.undecided) == (0, 1)


def test_a_tall_weight_of_lower_rank_leaves_it_undecided():
    left, right = draw(1, 30, 4), draw(2, 4, 20)
    assert Gram(left @ right).largest_share(basis(3, 30, 2)).tolist() == [1, 1]


@few
@given(seeds)
def test_dora_rows_change_as_defined(seed):
    weight, delta = draw(seed, 7, 5), draw(seed + 1, 7, 5)
    found = row_change(weight, delta)
    old, new = weight.norm(dim=1), (weight + delta).norm(dim=1)
    cosines = torch.nn.functional.cosine_similarity(weight, weight + delta)
    assert found.magnitude == pytest.approx(float((new - old).abs().mean() / old.mean()))
    assert found.direction == pytest.approx(float((1 - cosines).mean()))
    longer = row_change(weight, 0.5 * weight)
    assert (longer.magnitude, longer.direction) == (pytest.approx(0.5), pytest.approx(0, abs=1e-12))


LARGE = [(700, 900), (900, 700), (600, 600)]


@pytest.mark.parametrize(("d_out", "d_in"), LARGE)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_lanczos_finds_the_leading_directions_and_bounds_its_error(d_out, d_in, dtype):
    weight = decaying(d_out, d_in)[0].to(dtype)
    found = leading_svd(weight, 6)
    u, s, vh = torch.linalg.svd(weight.double(), full_matrices=False)
    assert not found.exact
    assert (found.values.double() - s[:6]).abs().max() <= found.residual + 1e-6
    assert found.next_value == pytest.approx(float(s[6]), rel=1e-3)
    for mine, true in ((found.left, u[:, :6]), (found.right, vh[:6].T)):
        assert torch.allclose(mine.T @ mine, torch.eye(6), atol=1e-4)
        assert math.sin(float(principal_angles(mine, true)[-1])) <= found.angle_bound + 1e-6
    assert found.angle_bound < 0.01
    signs = (found.left.double() * (weight.double() @ found.right.double())).sum(dim=0)
    assert torch.allclose(signs, found.values.double(), rtol=1e-3)


@pytest.mark.parametrize(("d_out", "d_in"), LARGE)
def test_lanczos_of_a_sum_never_built_is_that_of_the_sum(d_out, d_in):
    weight, pair = decaying(d_out, d_in)[0].float(), thin(3, d_out, d_in, 3)
    pair = Factors(pair.left.float() / 100, pair.right.float() / 5)
    gram = Gram(weight)
    summed, built = gram.leading(5, pair), leading_svd(weight + pair.dense(), 5)
    assert torch.allclose(summed.values, built.values, rtol=1e-4)
    assert subspace_similarity(summed.left, built.left) == pytest.approx(1, abs=1e-3)
    assert subspace_similarity(summed.right, built.right) == pytest.approx(1, abs=1e-3)
    assert torch.allclose(gram.leading(5).values, leading_svd(weight, 5).values)


def test_no_gap_says_so():
    flat = leading_svd(torch.eye(600), 4)
    assert flat.angle_bound == 1
    assert flat.values.tolist() == pytest.approx([1] * 4, rel=1e-4)


def test_small_matrices_are_exact():
    weight = draw(2, 30, 20)
    found = leading_svd(weight, 20)
    assert found.exact
    assert (found.residual, found.next_value) == (0, 0)
    assert torch.allclose(found.left * found.values @ found.right.T, weight)


def test_random_updates_overlap_w0_as_the_baseline_says():
    weight = leading_svd(torch.randn(300, 200), 8)
    found = [subspace_similarity(directions(thin(seed, 300, 200)).right, weight.right) for seed in range(80)]
    expected = random_matrix.similarity(200, 4, 8)
    mean = sum(found) / len(found)
    assert abs(mean - expected.mean) < 4 * expected.std / math.sqrt(len(found))


@few
@given(seeds, st.floats(1e-3, 1e3), st.integers(1, 6))
def test_ranks_are_ordered_and_do_not_see_scale_or_rotation(seed, scale, rank):
    pair = thin(seed, rank=rank)
    turned = Factors(basis(seed, 18, 18) @ pair.left * scale, pair.right @ basis(seed + 1, 13, 13))
    a, b = spectrum(pair), spectrum(turned)
    order = (a.stable_rank, a.participation_ratio, a.effective_rank)
    assert order == pytest.approx((b.stable_rank, b.participation_ratio, b.effective_rank))
    assert 1 - 1e-9 <= order[0] <= order[1] * (1 + 1e-9) <= order[2] * (1 + 1e-9) ** 2 <= rank * (1 + 1e-9) ** 3
