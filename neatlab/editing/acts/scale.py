"""scale and rewind: W₀ + α·ΔW in the place of W₀ + ΔW."""

from collections.abc import Mapping
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from neatlab.adapters.factors import Delta, Factors
from neatlab.adapters.methods.base import BOUND, Parts
from neatlab.editing.acts.base import ActRow
from neatlab.editing.state import Editable, Update
from neatlab.errors import BadInput
from neatlab.schema import Schema

# Type → what the names of the tensors begin with whose last one ΔW is linear in; the others become LoRA.
LINEAR = {
    "LORA": "lora_B",
    "NEAT": "neat_theta.",
    "PEANUT": "peanut_B",
    "VERA": "vera_lambda_b",
    "LOHA": "hada_w1",
    "LOKR": "lokr_w1",
    "HIRA": "hira_B",
    "MISS": "miss_block",
    "FOURIERFT": "fourierft_spectrum",
}


class ScaleOptions(Schema):
    """Options of `scale`.

    Args:
        factor: What ΔW is multiplied by.
    """

    factor: float = Field(ge=-BOUND, le=BOUND)

    def model_post_init(self, context: Any, /) -> None:
        """Refuse what leaves nothing."""
        if self.factor == 0:
            raise BadInput("factor=0 leaves ΔW = 0, which is the base without an adapter; take the base")


class RewindOptions(Schema):
    """Options of `rewind`.

    Args:
        alpha: α, the share of ΔW that stays.
    """

    alpha: float = Field(gt=0, le=1)


def scaled(adapter: Editable, factor: float) -> Editable:
    """W₀ + factor·ΔW, in the adapter's own type where a tensor of it is ΔW's factor; DoRA stays DoRA."""
    if adapter.is_dora:
        return adapter.as_lora(lambda name, update: _scaled_dora(name, update, adapter.weight(name), factor), "scale")
    prefix = LINEAR.get(adapter.type, "")
    if not (adapter.keeps_type and prefix):
        return adapter.map(lambda name, update: Update(_times(update.delta, factor)), keeps_type=False)
    return adapter.map(
        lambda name, update: Update(
            _times(update.delta, factor), None, _scaled_parts(update.parts or {}, prefix, factor)
        )
    )


def _times(delta: Delta, factor: float) -> Delta:
    return Factors(delta.left * factor, delta.right) if isinstance(delta, Factors) else delta * factor


def _scaled_parts(parts: Parts, prefix: str, factor: float) -> Mapping[str, Tensor]:
    """The last tensor that begins with the prefix, by number where it has one."""
    names = [name for name in parts if name.startswith(prefix)]
    last = max(names, key=lambda name: (len(name), name))
    return {**parts, last: parts[last] * factor}


def _scaled_dora(name: str, update: Update, weight: Tensor, alpha: float) -> Update:
    """The DoRA of W₀ + α·ΔW, row by row.

    With V = W₀ + s·B A and g = m/‖V‖, the row (1 − α)w₀ + αg v is c·(w₀ + (αg/c)·s·b A), c = 1 − α + αg: a DoRA with
    the row of B times αg/c and the magnitude c·‖w₀ + (αg/c)·s·b A‖, as long as c > 0.
    """
    if not isinstance(update.delta, Factors) or update.magnitude is None:
        raise BadInput(f"layer {name} has no factors of DoRA")
    base, factors = weight.double(), update.delta.to(torch.float64)
    gain = update.magnitude.double() / (base + factors.dense()).norm(dim=1)  # g, d_out
    share = 1 - alpha + alpha * gain  # c, d_out
    if not (share > 0).all():
        raise BadInput(f"layer {name}: no DoRA is W₀ + {alpha:g}·ΔW, for a row of W₀ would turn round; allowed: 0 to 1")
    turned = Factors(factors.left * (alpha * gain / share)[:, None], factors.right)
    return Update(turned, share * (base + turned.dense()).norm(dim=1))


SCALE: ActRow = ActRow(
    "multiplies ΔW by a factor",
    ScaleOptions,
    lambda adapter, options: scaled(adapter, options.factor),
    "scale:factor=0.5",
)
REWIND: ActRow = ActRow(
    "goes back to α·ΔW", RewindOptions, lambda adapter, options: scaled(adapter, options.alpha), "rewind:alpha=0.8"
)
