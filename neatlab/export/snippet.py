"""A run, or an arm that nobody has trained, as a short script on public packages: the user's model, the lab's training.

The lab's own config is printed field by field, so that a new method needs nothing here.
"""

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import transformers
from peft import PeftConfig
from torch import nn

from neatlab.adapters.attach import configure
from neatlab.adapters.methods import METHODS
from neatlab.config import RunConfig, TrainingConfig, make_arm
from neatlab.errors import unknown
from neatlab.experiments.execute import make_task
from neatlab.experiments.trained import trained_task
from neatlab.export.formats import SCRIPTS
from neatlab.runs.run import Run
from neatlab.runtime.templates import Code, python
from neatlab.training.loop import checkpoint_gradients, warmup_steps

_DEVICES = {  # as `pick_device` has it → device, the Trainer's use_cpu
    "auto": ('"cuda" if torch.cuda.is_available() else "cpu"', "not torch.cuda.is_available()"),
    "cpu": ('"cpu"', "True"),
    "cuda": ('"cuda"', "False"),
}


def snippet(source: Run | RunConfig, form: str = "peft") -> str:
    """A script that trains exactly this arm, with exactly these settings, on a model and data that the user fills in.

    Args:
        source: A run, whatever its state; or the configuration of one that nobody has trained.
        form: "peft" is neatlab's own loop, batch for batch; "trainer" is transformers' Trainer with the same optimiser
            and schedule, and an order of the examples of its own.

    Returns:
        Python; every value in it is a literal.

    Raises:
        BadInput: Another form, or an arm that does not fit the task.
        StoreError: The weights of a finished run are missing or damaged.
    """
    if form not in SCRIPTS:
        raise unknown("form", form, SCRIPTS)
    config = source.config if isinstance(source, Run) else source
    is_trained = isinstance(source, Run) and source.status == "finished"
    task = trained_task(source) if isinstance(source, Run) and is_trained else make_task(config)
    arm = make_arm(config.arm.method, config.arm.given())  # a run's file is input
    model, row = task.base_model(), METHODS[arm.method]
    peft_config = configure(model, arm.method, row.options(**arm.options), task.targets, task.head)
    if config.training.gradient_checkpointing:
        checkpoint_gradients(model)  # refuses a model that cannot do that
    return python(__file__).render(
        form=form,
        arm=arm.label,
        task=config.spec.label,
        run=source.run_id if isinstance(source, Run) else None,
        trains=row.trains,
        seed=config.seed,
        targets=task.targets,
        head=task.head,
        **_adapter(peft_config, task.targets, task.head),
        **_model(model, form),
        **_training(config.training),
    )


def _adapter(config: PeftConfig | None, targets: list[str], head: list[str]) -> dict[str, Any]:
    if config is None:
        return {"config": None, "is_neat": False, "packages": Code(", accelerate")}
    name, is_neat = type(config).__name__, type(config).__module__.startswith("neatlab.")
    return {
        "config": Code(name),
        "settings": [(Code(field), value) for field, value in _settings(config, targets, head)],
        "from_peft": Code(", ".join(["get_peft_model"] if is_neat else [name, "get_peft_model"])),
        "is_neat": is_neat,
        "packages": Code(", peft and neatlab (pip install . in its folder)" if is_neat else " and peft"),
    }


def _settings(config: PeftConfig, targets: list[str], head: list[str]) -> Iterator[tuple[str, Any]]:
    """Field and value of what is not PEFT's default."""
    default: PeftConfig = type(config)()
    named = {frozenset(targets): Code("TARGETS"), frozenset(head): Code("HEAD")}
    for field in fields(config):
        value = getattr(config, field.name)
        if field.init and value != getattr(default, field.name):
            if isinstance(value, list | set):
                value = named.get(frozenset(value), sorted(value))
            yield field.name, value


def _model(model: nn.Module, form: str) -> dict[str, Any]:
    name = _auto_class(model)
    imported = [name, *SCRIPTS[form]] if name else SCRIPTS[form]
    has_tokens = getattr(model, "main_input_name", None) == "input_ids"
    return {
        "auto_class": Code(name) if name else None,
        "dtype": Code(next(model.parameters()).dtype),
        "from_transformers": Code(", ".join(sorted(imported, key=str.lower))),
        "of_one_length": Code(", padded to one length" if has_tokens else ""),
        "is_causal": name == "AutoModelForCausalLM",
    }


def _auto_class(model: nn.Module) -> str | None:
    """The class of transformers that loads models of this kind; None for a model that is not of transformers."""
    if not isinstance(model, transformers.PreTrainedModel):
        return None
    name = type(model).__name__
    kind = "CausalLM" if name.endswith("LMHeadModel") else name.partition("For")[2]
    return f"AutoModelFor{kind}" if hasattr(transformers, f"AutoModelFor{kind}") else "AutoModel"


def _training(training: TrainingConfig) -> dict[str, Any]:
    part = -(-training.batch_size // training.accumulate)
    device, use_cpu = _DEVICES[training.device]
    return {
        "steps": training.steps,
        "warmup": warmup_steps(training),
        "batch": training.batch_size,
        "schedule": training.schedule,
        "lr": training.lr,
        "head_lr": training.head_lr,
        "weight_decay": training.weight_decay,
        "train_size": training.train_size,
        "accumulate": training.accumulate,
        "part": part if training.accumulate > 1 else Code("BATCH"),
        "parts": -(-training.batch_size // part),
        "is_bfloat16": training.precision == "bfloat16",
        "checkpointing": training.gradient_checkpointing,
        "device": Code(device),
        "use_cpu": Code(use_cpu),
    }
