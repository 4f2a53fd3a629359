"""reduce-intruders: weaken the leading directions of W₀ + ΔW that resemble none of W₀."""

import torch
from pydantic import Field
from torch import Tensor

from neatlab.adapters.factors import Factors, FactorsSvd
from neatlab.analysis.partial_svd import Gram, PartialSvd
from neatlab.analysis.subspaces import EPSILON, intruders
from neatlab.editing.acts.base import ActRow
from neatlab.editing.state import Editable, Update
from neatlab.errors import BadInput
from neatlab.schema import Schema


class IntruderOptions(Schema):
    """Options of `reduce-intruders`, with PEFT's defaults for `reduce_intruder_dimension`.

    Args:
        lambda: λ, the share of an intruder that stays: 1 leaves all as it is, 0 takes intruders out.
        top_k: Leading directions of W₀ + ΔW to look at.
        epsilon: Cosine to W₀'s singular vectors below which a direction is an intruder.
    """

    share: float = Field(0.75, ge=0, le=1, alias="lambda")
    top_k: int = Field(10, ge=1, le=4096)
    epsilon: float = Field(EPSILON, gt=0, le=1)


def _reduced(adapter: Editable, options: IntruderOptions) -> Editable:
    who = "reduce-intruders"
    if adapter.is_dora:
        raise BadInput(f"{who}: DoRA divides each row by its norm, so a direction of W₀ + ΔW cannot be scaled alone")
    if adapter.shapes:
        adapter.weight(next(iter(adapter.shapes)), who)
    return adapter.as_lora(lambda name, update: _weakened(update, adapter.weight(name, who), options), who)


def _weakened(update: Update, weight: Tensor, options: IntruderOptions) -> Update:
    """ΔW + (λ − 1)·Σ σᵢuᵢvᵢᵀ over the intruders of W₀ + ΔW, cut to ΔW's rank (arXiv:2410.21228; PEFT does the same)."""
    delta = update.delta
    if not isinstance(delta, Factors):
        raise BadInput("reduce-intruders: ΔW has no thin factors; put compress before it")
    after, indices = _intruders(delta, weight, options)
    if not indices:
        return Update(delta)
    left, right = after.left[:, indices].double(), after.right[:, indices].double()  # d_out × k, d_in × k
    sigma = after.values[indices].double() * (1 - options.share)
    rest = delta.to(torch.float64).minus(Factors(left * sigma, right.T))
    return Update(FactorsSvd(rest).select(slice(0, delta.rank)))


def _intruders(delta: Factors, weight: Tensor, options: IntruderOptions) -> tuple[PartialSvd, list[int]]:
    """The leading triplets of W₀ + ΔW, and which of them are intruders, all of W₀'s vectors considered."""
    gram, smaller = Gram(weight), min(weight.shape)
    count = min(options.top_k, smaller)
    after = gram.leading(count, delta)
    marked = intruders(after, gram.leading(count), options.epsilon, gram.largest_share)
    if marked.undecided:
        marked = intruders(after, gram.leading(smaller), options.epsilon)
    if marked.undecided:
        raise BadInput(
            f"reduce-intruders: of W₀ + ΔW, {after.clear} directions are more than rounding beside the first; "
            f"give top_k={after.clear}, or weaken ΔW first, as by rewind"
        )
    return after, marked.indices


ROW: ActRow = ActRow(
    "weakens intruder dimensions, as PEFT does", IntruderOptions, _reduced, "reduce-intruders:lambda=0.5"
)
