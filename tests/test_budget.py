"""Matched parameter budgets, by formula and against built models."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neatlab.adapters.attach import attach
from neatlab.adapters.budget import TOLERANCE, adapter_count, match_params, matched
from neatlab.adapters.methods import METHODS
from neatlab.errors import BadInput
from tests.models import MODELS

VIT = {f"layer.{i}": (768, 768) for i in range(24)}
LLAMA = {"q": (2048, 2048), "k": (512, 2048), "v": (512, 2048), "up": (8192, 2048), "down": (2048, 8192)}
SIZED = [name for name, row in METHODS.items() if row.size]


def sized(method: str, size: int, **changes):
    row = METHODS[method]
    return row.options(**{row.size: size, **changes})


def test_of_two_sizes_equally_near_the_smaller_is_taken():
    layer = {"q": (32, 32)}  # 64 parameters for each rank
    assert match_params("lora", sized("lora", 2), layer, 10 * 64 + 32).rank == 10


def test_frequencies_are_rounded_to_the_nearer():
    layers = dict.fromkeys("qkv", (32, 32))  # as many parameters as frequencies, on each
    options = sized("fourierft", 2)
    assert [match_params("fourierft", options, layers, 3 * 100 + extra).n_frequency for extra in (1, 2)] == [100, 101]


@pytest.mark.parametrize("method", SIZED)
def test_finds_the_size_back_from_its_own_count(method):
    size = 16
    budget = adapter_count(method, sized(method, size), LLAMA)
    found = match_params(method, sized(method, 2), LLAMA, budget)
    assert adapter_count(method, found, LLAMA) == budget


@settings(max_examples=60)
@given(
    method=st.sampled_from(SIZED),
    shapes=st.lists(st.tuples(st.integers(2, 24), st.integers(2, 24)), min_size=1, max_size=3),
    budget=st.integers(1, 600),
)
def test_nothing_comes_nearer(method, shapes, budget):
    layers = {str(i): shape for i, shape in enumerate(shapes)}
    counts = {}
    for size in range(1, 600):
        try:
            counts[size] = adapter_count(method, sized(method, size), layers)
        except (BadInput, ValueError):
            continue
    nearest = min((abs(count - budget) for count in counts.values()), default=None)
    try:
        found = adapter_count(method, match_params(method, METHODS[method].options(), layers, budget), layers)
    except BadInput:
        assert nearest is None or nearest > TOLERANCE * budget
    else:
        assert abs(found - budget) == nearest


@pytest.mark.parametrize("method", SIZED)
def test_the_count_is_that_of_the_built_model(method):
    tiny = MODELS["llama"]
    size = 4
    adapted = attach(tiny.build(), method, sized(method, size), tiny.targets, [])
    shapes = {name: tuple(weight.shape) for name, weight in adapted.layers.items()}
    built = sum(parameter.numel() for parameter in adapted.adapter_parameters())
    assert adapter_count(method, sized(method, size), shapes) == built


def test_a_wide_layer_gives_neat_more_rank_for_the_same_budget():
    wide = {"up": (64, 256)}
    lora, neat = matched([("lora", sized("lora", 4), wide), ("neat", sized("neat", 1), wide)])
    assert (lora.rank, neat.rank) == (4, 10)


def test_the_first_arm_sets_the_budget_and_the_rest_of_an_arm_is_kept():
    arms = [
        ("lora", sized("lora", 8), VIT),
        ("neat", sized("neat", 1, depth=6, activation="gelu"), VIT),
        ("vera", sized("vera", 1), VIT),
    ]
    budget = adapter_count(*arms[0])
    found = matched(arms)
    assert found[0] == arms[0][1]
    assert (found[1].depth, found[1].activation) == (6, "gelu")
    for (method, *_), options in zip(arms, found, strict=True):
        assert abs(adapter_count(method, options, VIT) - budget) <= TOLERANCE * budget
    assert matched(arms[1:], budget) == found[1:]


def test_lora_keeps_its_scaling_where_alpha_follows_the_rank():
    assert match_params("lora", sized("lora", 1), VIT, 24 * 1536 * 5).alpha is None
    assert match_params("lora", sized("lora", 1, alpha=16), VIT, 24 * 1536 * 5).alpha == 16


def test_refusals_name_the_closest():
    one = {"only": (768, 768)}
    with pytest.raises(BadInput, match=r"lora has no size within 10 % of 2,200 .*closest is rank=1: 1,536 \(-30 %\)"):
        match_params("lora", sized("lora", 4), one, 2200)
    with pytest.raises(BadInput, match=r"ia3 has no size .*nothing sets its size: 768 \(-50 %\)"):
        match_params("ia3", METHODS["ia3"].options(), one, 1536)
    with pytest.raises(BadInput, match="head has no size"):
        match_params("head", METHODS["head"].options(), one, 1536)
    with pytest.raises(BadInput, match="full trains the whole model"):
        matched([("full", METHODS["full"].options(), one), ("lora", sized("lora", 4), one)])


def test_a_method_without_a_size_is_kept_where_it_happens_to_fit():
    options = METHODS["ia3"].options()
    assert match_params("ia3", options, {"only": (768, 768)}, 800) is options


def test_the_largest_rank_is_the_smallest_layers():
    for method, rank in itertools.product(["lora", "neat", "hira"], [512, 513]):
        if rank == 512:
            assert adapter_count(method, sized(method, rank), LLAMA) > 0
        else:
            with pytest.raises(BadInput, match="allowed: 1 to 512"):
                adapter_count(method, sized(method, rank), LLAMA)
