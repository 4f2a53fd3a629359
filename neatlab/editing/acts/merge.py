"""merge: the weighted sum of adapters on one base."""

from collections.abc import Callable
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any, Literal
from zlib import crc32

import torch
from pydantic import Field
from torch import Tensor

from neatlab.adapters.factors import Delta, Factors
from neatlab.adapters.methods.base import MAX_RANK
from neatlab.editing.acts.base import ActRow, items
from neatlab.editing.acts.compress import CompressOptions, compressed
from neatlab.editing.state import Editable, Update
from neatlab.errors import BadInput
from neatlab.inspection.image_names import ImageNames
from neatlab.schema import Schema

DEFAULT_DENSITY = 0.5

Sum = Callable[[str, list[Delta], list[float]], Delta]  # layer, ΔW of each adapter, their weights


class MergeOptions(Schema):
    """Options of `merge`; the names of `combination` are those of PEFT's `add_weighted_adapter`.

    Args:
        with: The other adapters, joined by "+".
        weights: A weight for this adapter and each of the others, joined by "+"; all 1 by default.
        combination: "cat" and "svd" are the exact sum; the others build ΔW, one layer at a time, and cut it to rank.
        rank: Rank of the result; the summed rank by default, which "cat" alone can hold.
        density: Share of the numbers of each ΔW that stays, for all but "cat" and "svd".
        majority_sign_method: How TIES elects a sign.
        seed: Of what DARE drops.
    """

    others: str = Field(alias="with", min_length=1)
    weights: str | None = None
    combination: Literal["cat", "svd", "magnitude_prune_svd", "ties_svd", "dare_linear_svd", "dare_ties_svd"] = "cat"
    rank: int | None = Field(None, ge=1, le=MAX_RANK)
    density: float = Field(DEFAULT_DENSITY, gt=0, le=1)
    majority_sign_method: Literal["total", "frequency"] = "total"
    seed: int = Field(0, ge=0, lt=2**32)

    def model_post_init(self, context: Any, /) -> None:
        """Refuse a combination without the rank that it is cut to."""
        if self.combination != "cat" and self.rank is None:
            raise BadInput(f"combination={self.combination} needs rank=, to which the sum is cut")


def _merged(adapter: Editable, options: MergeOptions) -> Editable:
    paths = [options.others] if Path(options.others).exists() else items(options.others)
    weights = _weights(options, 1 + len(paths))
    adapters = [adapter, *(adapter.open(path) for path in paths)]
    for other in adapters[1:]:
        _check_same_base(adapter, other)
        _check_whole(adapter, other)
    _check_factors(adapters, options)
    summed = _memo(_sum_factors if options.combination in ("cat", "svd") else _combine(options))

    def delta(name: str, source: Callable[[Editable], Delta]) -> Delta:
        present = [(one, weight) for one, weight in zip(adapters, weights, strict=True) if name in one.shapes]
        return summed(name, [source(one) for one, _ in present], [weight for _, weight in present])

    shapes = {name: shape for one in reversed(adapters) for name, shape in one.shapes.items()}
    result = replace(
        adapter,
        shapes={**adapter.shapes, **shapes},
        all_shapes={**adapter.all_shapes, **adapter.shapes, **shapes},
        read=lambda name: Update(delta(name, lambda one: one.read(name).delta)),
        reference=lambda name: (
            delta(name, lambda one: one.reference(name))
            if any(name in one.shapes for one in adapters)
            else adapter.reference(name)
        ),
        base_weight=_first_weight(adapters),
        unsupported={name: reason for one in adapters for name, reason in one.unsupported.items()},
        dtype=_widest([one.dtype for one in adapters]),
        keeps_type=False,
        kernels={name: kernel for one in adapters for name, kernel in one.kernels.items()},
        image=_image(adapters),
    )
    return result if options.rank is None else compressed(result, CompressOptions(rank=options.rank))


def _weights(options: MergeOptions, count: int) -> list[float]:
    if options.weights is None:
        return [1.0] * count
    try:
        weights = [float(part) for part in items(options.weights)]
    except ValueError:
        weights = []
    if len(weights) != count or not all(abs(weight) < float("inf") for weight in weights):
        example = "+".join(["0.5"] * count)
        raise BadInput(f"merge: weights={options.weights!r}; one for each of the {count} adapters, such as {example}")
    return weights


def _check_same_base(adapter: Editable, other: Editable) -> None:
    """Refuse an adapter of another base: layers that differ in shape, none in common, or another name of the base."""
    if (adapter.image is None) != (other.image is None):
        raise BadInput("merge: one is an adapter of PEFT, the other a LoRA file of the image world; give two of a kind")
    for name, shape in other.shapes.items():
        mine = adapter.shapes.get(name, shape)
        if mine != shape:
            raise BadInput(
                f"merge: {adapter.origin.title} and {other.origin.title} are not of one base: layer {name} is "
                f"{mine[0]} × {mine[1]} in one and {shape[0]} × {shape[1]} in the other"
            )
        if name in adapter.shapes and adapter.kernels.get(name) != other.kernels.get(name):
            raise BadInput(f"merge: layer {name} is a convolution in one adapter, and none or another in the other")
    if not adapter.shapes.keys() & other.shapes.keys():
        raise BadInput(
            f"merge: {adapter.origin.title} and {other.origin.title} share no layer: "
            f"{next(iter(other.shapes))} is not in the first"
        )
    names = [one.settings.get("base_model_name_or_path") for one in (adapter, other)]
    if all(names) and names[0] != names[1] and other.base_weight(next(iter(other.shapes))) is None:
        raise BadInput(
            f"merge: one was trained on {names[0]!r}, the other on {names[1]!r}; if that is one model give it as --base"
        )


def _image(adapters: list[Editable]) -> ImageNames | None:
    """The names of all layers, where these are LoRA files of the image world."""
    names = [one.image for one in adapters if one.image is not None]
    return reduce(ImageNames.join, names) if names else None


def _check_whole(adapter: Editable, other: Editable) -> None:
    for name, tensor in other.whole.items():
        mine = adapter.whole.get(name)
        if mine is None or mine.shape != tensor.shape or not torch.equal(mine, tensor):
            raise BadInput(
                f"merge: {other.origin.title} trained {name} whole, and not to what {adapter.origin.title} has there; "
                "one adapter cannot hold both"
            )


def _check_factors(adapters: list[Editable], options: MergeOptions) -> None:
    for one in adapters:
        if one.is_dora:
            raise BadInput(f"merge: {one.origin.title} is a DoRA, whose ΔW is no product of thin factors to be added")
        if not one.thin and options.combination in ("cat", "svd"):
            raise BadInput(
                f"merge: ΔW of the {one.origin.type} adapter {one.origin.title} has no thin factors; "
                "compress it first with neatlab edit"
            )


def _first_weight(adapters: list[Editable]) -> Callable[[str], Tensor | None]:
    """W₀ of a layer from an adapter that is on it."""
    return lambda name: next((one.base_weight(name) for one in adapters if name in one.all_shapes), None)


def _widest(dtypes: list[torch.dtype]) -> torch.dtype:
    widest = dtypes[0]
    for dtype in dtypes[1:]:
        widest = torch.promote_types(widest, dtype)
    return widest


def _memo(work: Sum) -> Sum:
    """The last sum once more where it is asked of the same ΔW: by the acts, and by the figures."""
    last: list[Any] = [[], None]

    def summed(name: str, deltas: list[Delta], weights: list[float]) -> Delta:
        if len(last[0]) != len(deltas) or any(a is not b for a, b in zip(last[0], deltas, strict=True)):
            last[:] = [deltas, work(name, deltas, weights)]
        result: Delta = last[1]
        return result

    return summed


def _sum_factors(name: str, deltas: list[Delta], weights: list[float]) -> Delta:
    """Σ wᵢΔWᵢ as factors of all ranks together."""
    factors = [delta for delta in deltas if isinstance(delta, Factors)]
    left = torch.cat([f.left.double() * weight for f, weight in zip(factors, weights, strict=True)], 1)
    return Factors(left, torch.cat([f.right.double() for f in factors]))


def _combine(options: MergeOptions) -> Sum:
    """PEFT's function of that name, on ΔW in float32; what DARE drops is drawn anew in each layer."""
    from peft.utils import merge_utils

    function = options.combination.removesuffix("_svd")
    work = getattr(merge_utils, function)
    further = {"majority_sign_method": options.majority_sign_method} if function.endswith("ties") else {}

    def combined(name: str, deltas: list[Delta], weights: list[float]) -> Delta:
        dense = [(delta.dense() if isinstance(delta, Factors) else delta).float() for delta in deltas]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(options.seed ^ crc32(name.encode()))
            result: Tensor = work(dense, torch.tensor(weights), density=options.density, **further)
        return result

    return combined


ROW: ActRow = ActRow("adds other adapters on the same base, each with a weight", MergeOptions, _merged, "")
