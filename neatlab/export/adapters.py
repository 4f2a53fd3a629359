"""From a finished run to a folder that others load: NEAT, PEANuT or LoRA adapters, or merged weights."""

from collections.abc import Callable
from typing import Any

from peft import PeftModel

from neatlab.adapters.attach import Adapted
from neatlab.adapters.convert import (
    factors_to_lora,
    lora_to_neat,
    merge_to_folder,
    neat_to_peanut,
    peanut_to_neat,
)
from neatlab.adapters.factors import Factors
from neatlab.adapters.folders import whole_folder
from neatlab.errors import BadInput, unknown
from neatlab.experiments.trained import load_trained
from neatlab.runs.store import Run
from neatlab.runtime.files import PathLike

Errors = dict[str, float]


def export(run: Run, format: str, out: PathLike) -> Errors:
    """Write what a run trained in another form.

    Args:
        run: A finished run.
        format: "neat", "peanut", "lora" (adapter folders) or "merged" (a plain transformers model).
        out: The folder to write; it must not exist yet, or be empty.

    Returns:
        Layer → relative error of ΔW where the form cannot hold it exactly (LoRA → NEAT); {} where it can.

    Raises:
        BadInput: The run is not finished, the form does not fit its method, or the folder is not free.
        StoreError: The run's weights are missing or damaged.
    """
    if format not in FORMATS:
        raise unknown("format", format, FORMATS)
    return FORMATS[format](load_trained(run), run.config.arm.method, out)


def _to_neat(adapted: Adapted, method: str, out: PathLike) -> Errors:
    model = _peft_model(adapted, method, "neat")
    match method:
        case "neat":
            _save(model, out)
        case "peanut":
            peanut_to_neat(model, out)
        case "lora" | "rslora":
            return lora_to_neat(model, out)
        case _:
            raise _misfit(method, "neat", "neat, peanut, lora and rslora")
    return {}


def _to_peanut(adapted: Adapted, method: str, out: PathLike) -> Errors:
    model = _peft_model(adapted, method, "peanut")
    match method:
        case "neat":
            neat_to_peanut(model, out)
        case "peanut":
            _save(model, out)
        case _:
            raise _misfit(method, "peanut", "neat and peanut")
    return {}


def _to_lora(adapted: Adapted, method: str, out: PathLike) -> Errors:
    model = _peft_model(adapted, method, "lora")
    factors = {name: delta for name, delta in adapted.deltas().items() if isinstance(delta, Factors)}
    if len(factors) < len(adapted.layers):
        raise _misfit(method, "lora", "methods whose ΔW is a product of two thin factors")
    factors_to_lora(model, factors, out)
    return {}


def _to_merged(adapted: Adapted, method: str, out: PathLike) -> Errors:
    merge_to_folder(adapted.model, out)
    return {}


FORMATS: dict[str, Callable[[Adapted, str, PathLike], Errors]] = {
    "neat": _to_neat,
    "peanut": _to_peanut,
    "lora": _to_lora,
    "merged": _to_merged,
}


def _peft_model(adapted: Adapted, method: str, format: str) -> PeftModel:
    if not isinstance(adapted.model, PeftModel):
        raise BadInput(f"a {method} run has no adapter to write as {format}; allowed: merged")
    return adapted.model


def _save(model: Any, out: PathLike) -> None:
    with whole_folder(out) as temporary:
        model.save_pretrained(str(temporary), save_embedding_layers=False)


def _misfit(method: str, format: str, allowed: str) -> BadInput:
    return BadInput(f"a {method} run cannot be written as {format}, which {allowed} can; try merged")
