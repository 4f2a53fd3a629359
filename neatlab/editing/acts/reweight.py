"""reweight: singular values up where the loss falls with them, down where it rises; their directions stay."""

from pydantic import Field
from torch import Tensor

from neatlab.adapters.factors import Factors, FactorsSvd
from neatlab.editing.acts.base import ActRow
from neatlab.editing.state import Editable, Update
from neatlab.errors import BadInput
from neatlab.schema import Schema


class ReweightOptions(Schema):
    """Options of `reweight`.

    Args:
        strength: The largest share by which a singular value changes before their sum is restored.
        examples: Training examples of the task on which gradients are measured.
    """

    strength: float = Field(0.2, gt=0, lt=1)
    examples: int = Field(64, ge=1, le=100_000)


def _reweighted(adapter: Editable, options: ReweightOptions) -> Editable:
    gradient = adapter.gradient
    if gradient is None:
        raise BadInput("reweight measures gradients on the training examples of a task; give the task too")
    if adapter.is_dora:
        raise BadInput("reweight: DoRA divides each row by its norm, so a direction of ΔW cannot be scaled alone")
    return adapter.as_lora(
        lambda name, update: _scaled(name, update, gradient(name, options.examples), options.strength), "reweight"
    )


def _scaled(name: str, update: Update, gradient: Tensor, strength: float) -> Update:
    """σᵢ·(1 − strength·cᵢ/max|c|) with cᵢ = σᵢuᵢᵀGvᵢ, how the loss changes with the share of direction i; Σσ stays.

    After arXiv:2603.03995, which scales by sensitivity too, and keeps the size of ΔW.
    """
    if not isinstance(update.delta, Factors):
        raise BadInput(f"reweight: ΔW of layer {name} has no thin factors; put compress before it")
    svd = FactorsSvd(update.delta)
    parts = svd.select(slice(None))  # √σᵢuᵢ and √σᵢvᵢ: d_out × r, r × d_in
    changes = ((gradient.double() @ parts.right.T) * parts.left).sum(dim=0)  # r
    if not changes.abs().max() > 0:
        return Update(update.delta)
    weights = 1 - strength * changes / changes.abs().max()  # r
    weights *= svd.values.sum() / (svd.values * weights).sum()
    return Update(Factors(parts.left * weights, parts.right))


ROW: ActRow = ActRow(
    "weighs singular values by what the loss says of them",
    ReweightOptions,
    _reweighted,
    "reweight:strength=0.2",
    needs_task=True,
)
