"""convert: ΔW as LoRA, or as the NEAT that makes the same of W₀."""

from typing import Literal

import torch

from neatlab.adapters.factors import Factors
from neatlab.adapters.neat_from_factors import check_room, split_factors
from neatlab.editing.acts.base import ActRow
from neatlab.editing.state import Editable, Update
from neatlab.errors import BadInput
from neatlab.schema import Schema

EXACT = 1e-4  # ‖ΔW_NEAT − ΔW‖_F/‖ΔW‖_F up to which float32 rounding explains it
SHARED = ("task_type", "base_model_name_or_path", "revision", "modules_to_save", "bias", "target_modules")


class ConvertOptions(Schema):
    """Options of `convert`.

    Args:
        to: "lora", or "neat" with twice the hidden units where that is exact.
    """

    to: Literal["lora", "neat"]


def _converted(adapter: Editable, options: ConvertOptions) -> Editable:
    if options.to == "neat":
        return _to_neat(adapter)
    return adapter.as_lora(lambda name, update: Update(update.delta, update.magnitude), "convert:to=lora")


def _to_neat(adapter: Editable) -> Editable:
    who = "convert:to=neat"
    if adapter.type == "NEAT":
        return adapter
    if adapter.image is not None:
        raise BadInput(f"{who}: a LoRA file is written back in its own style, which knows no NEAT")
    if kernels := [name for name in adapter.shapes if name in adapter.kernels]:
        raise BadInput(f"{who}: {kernels[0]} is a convolution; put keep-layers before it")
    if adapter.is_dora:
        raise BadInput(f"{who}: this DoRA's ΔW is no product of thin factors, which NEAT's is; it stays DoRA")
    orientation = _orientation(adapter, who)
    adapter.weight(next(iter(adapter.shapes)), who)
    as_lora = adapter.as_lora(lambda name, update: update, who)
    rank = 2 * max(as_lora.read(name).rank or 0 for name in adapter.shapes)
    for name, shape in adapter.shapes.items():
        check_room(name, shape, rank)
    settings = {name: adapter.settings[name] for name in SHARED if name in adapter.settings}
    settings |= {"peft_type": "NEAT", "r": rank, "orientation": orientation, "inference_mode": True}
    return as_lora.map(
        lambda name, update: _split(name, update, adapter.weight(name, who).double(), rank, orientation),
        keeps_type=True,
        settings=settings,
        dtype=torch.float32,
    )


def _orientation(adapter: Editable, who: str) -> str:
    """The side over which W₀ of every layer has full rank: that with no fewer columns."""
    if all(d_in <= d_out for d_out, d_in in adapter.shapes.values()):
        return "out"
    if all(d_out <= d_in for d_out, d_in in adapter.shapes.values()):
        return "in"
    tall = next(name for name, (d_out, d_in) in adapter.shapes.items() if d_in < d_out)
    wide = next(name for name, (d_out, d_in) in adapter.shapes.items() if d_out < d_in)
    raise BadInput(
        f"{who} is exact over the longer side of W₀ alone, and {tall} is taller than wide, {wide} wider than tall; "
        "put keep-layers before it"
    )


def _split(name: str, update: Update, weight: torch.Tensor, rank: int, orientation: str) -> Update:
    if not isinstance(update.delta, Factors):
        raise BadInput(f"convert:to=neat: ΔW of layer {name} has no thin factors; put compress before it")
    (first, last), neat = split_factors(update.delta, weight, rank, orientation)
    exact = update.delta.to(torch.float64)
    error = float(neat.minus(exact).norm()) / (float(exact.norm()) or 1.0)
    if not error <= EXACT:
        raise BadInput(
            f"convert:to=neat: W₀ of layer {name} has too low a rank, and ΔW would be off by {error:.1e} of its norm; "
            "take it out with keep-layers, or use to=lora"
        )
    return Update(neat, None, {"neat_theta.0": first, "neat_theta.1": last})


ROW: ActRow = ActRow("writes ΔW as LoRA, or as NEAT where that is exact", ConvertOptions, _converted, "convert:to=lora")
