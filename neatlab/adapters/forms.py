"""The forms that a trained adapter can be written in, listed without torch, and the writers that many methods share.

A method's own conversions stand in its file under `methods`; all of them are in `Method.forms`.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neatlab.adapters.attach import Adapted
    from neatlab.runtime.files import PathLike

FORMS = {
    "neat": "a NEAT adapter",
    "peanut": "an adapter of PEFT's PEANuT",
    "lora": "a LoRA adapter",
    "merged": "a plain transformers model with W₀ + ΔW in its weights",
}

Errors = dict[str, float]  # layer → relative error of ΔW, where a form cannot hold it exactly; {} where it can
Writer = Callable[["Adapted", "PathLike"], Errors]


def write_saved(adapted: "Adapted", folder: "PathLike") -> Errors:
    """The adapter as it was trained, saved by PEFT."""
    from neatlab.adapters.folders import whole_folder

    model: Any = adapted.model
    with whole_folder(folder) as temporary:
        model.save_pretrained(str(temporary), save_embedding_layers=False)
    return {}


def write_lora(adapted: "Adapted", folder: "PathLike") -> Errors:
    """A ΔW that is a product of thin factors, as the LoRA with these factors."""
    from neatlab.adapters.convert import factors_to_lora

    model: Any = adapted.model
    deltas: Any = adapted.deltas()
    factors_to_lora(model, deltas, folder)
    return {}


def write_merged(adapted: "Adapted", folder: "PathLike") -> Errors:
    """The whole model, with ΔW added to its weights."""
    from neatlab.adapters.convert import merge_to_folder

    merge_to_folder(adapted.model, folder)
    return {}
