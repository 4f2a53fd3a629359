"""From an adapter folder, as Trainer, TRL or `save_pretrained` leaves it, to another form of the same adapter."""

import warnings
from pathlib import Path
from typing import Any

import transformers
from peft import PeftModel
from safetensors import safe_open

from neatlab.adapters.attach import Adapted, quiet_peft, tuner_layers, weight_of
from neatlab.adapters.forms import FORMS, Errors
from neatlab.adapters.methods import METHODS, Method
from neatlab.errors import BadInput, unknown
from neatlab.inspection.adapter_folder import TENSORS, AdapterFolder, read_adapter
from neatlab.runtime.files import PathLike
from neatlab.tasks.pretrained import load, model_config, model_folder

SOURCES = {"NEAT": "neat", "PEANUT": "peanut"}  # type of adapter → row of METHODS
AUTO_CLASSES = {
    "CAUSAL_LM": "AutoModelForCausalLM",
    "SEQ_2_SEQ_LM": "AutoModelForSeq2SeqLM",
    "SEQ_CLS": "AutoModelForSequenceClassification",
    "TOKEN_CLS": "AutoModelForTokenClassification",
    "QUESTION_ANS": "AutoModelForQuestionAnswering",
    "FEATURE_EXTRACTION": "AutoModel",
}
HEADS = ("classifier.weight", "score.weight", "classifier.out_proj.weight")  # labels × width


def export_folder(folder: PathLike, format: str, out: PathLike, base: str | None) -> Errors:
    """Write a NEAT or PEANuT adapter folder in another form.

    Args:
        folder: Holds adapter_config.json and adapter_model.safetensors.
        format: "neat", "peanut", "lora" (adapter folders) or "merged" (a plain transformers model).
        out: The folder to write; it must not exist yet, or be empty.
        base: The model that the adapter was trained on: a folder, or its name on the hub.

    Returns:
        Layer → relative error of ΔW where the form cannot hold it exactly; {} where it can.

    Raises:
        BadInput: Another type of adapter, a form that it does not have, no base or one that does not fit, or a folder
            that is not free.
    """
    adapter = read_adapter(Path(folder))
    row = _row(adapter, format)
    if base is None:
        raise BadInput(f"{folder} is an adapter folder; --base names the model that it was trained on")
    return row.forms[format](open_adapted(adapter, model_folder(base)), out)


def _row(adapter: AdapterFolder, format: str) -> Method:
    if format not in FORMS:
        raise unknown("format", format, FORMS)
    if adapter.type not in SOURCES:
        hint = "for PEFT's own there are convert_to_lora() and merge_and_unload()"
        raise BadInput(f"{adapter.path} holds a {adapter.type} adapter; allowed: {', '.join(SOURCES)}; {hint}")
    row = METHODS[SOURCES[adapter.type]]
    if format not in row.forms:
        raise BadInput(f"a {adapter.type} adapter can be written as {', '.join(row.forms)}, not as {format}")
    return row


def open_adapted(adapter: AdapterFolder, base: Path) -> Adapted:
    """The base with an adapter folder on it.

    Raises:
        BadInput: They do not fit.
    """
    model, _ = load(_auto_class(adapter, base), base, seed=0, dtype="auto", **_labels(adapter))
    try:
        with quiet_peft(), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of tensors that are missing: looked at below
            wrapped: Any = PeftModel.from_pretrained(model, str(adapter.path), torch_device="cpu").eval()
    except (ValueError, RuntimeError, KeyError) as error:
        raise BadInput(f"{adapter.path} does not fit {base}: {str(error).strip().splitlines()[-1].strip()}") from error
    layers = dict(tuner_layers(wrapped))
    if misfits := sorted(set(adapter.layers) ^ set(layers)):
        where = f"{base}, which has no" if misfits[0] in adapter.layers else f"{base}: it has no tensors for"
        raise BadInput(f"{adapter.path} does not fit {where} layer {misfits[0]}")
    weights = {name: weight_of(layer.get_base_layer()) for name, layer in layers.items()}
    return Adapted(wrapped, weights, tuple(adapter.settings.get("modules_to_save") or ()))


def _auto_class(adapter: AdapterFolder, base: Path) -> Any:
    """By the adapter's task, else by what the base says that it is."""
    if name := AUTO_CLASSES.get(str(adapter.settings.get("task_type"))):
        return getattr(transformers, name)
    named = (getattr(transformers, str(one), None) for one in model_config(base).architectures or [])
    models = (one for one in named if isinstance(one, type) and issubclass(one, transformers.PreTrainedModel))
    return next(models, transformers.AutoModel)


def _labels(adapter: AdapterFolder) -> dict[str, Any]:
    """How many labels a head that was trained along has; the base may have another."""
    with safe_open(adapter.path / TENSORS, "pt") as tensors:
        heads = [name for name in adapter.trained_whole if name.endswith(HEADS)]
        count = tensors.get_slice(heads[0]).get_shape()[0] if heads else None
    return {"num_labels": count, "ignore_mismatched_sizes": True} if heads else {}
