"""What a run is made of: task, arm, training settings and seed; its name is their hash."""

import hashlib
from collections.abc import Mapping
from typing import Any, Literal

import orjson
from pydantic import Field

from neatlab.adapters.methods import METHODS
from neatlab.errors import unknown
from neatlab.schema import Schema, parse_pairs
from neatlab.tasks.spec import TaskSpec


class TrainingConfig(Schema):
    """How every arm of a comparison trains.

    Args:
        steps: Optimiser steps.
        batch_size: Examples a step.
        lr: Peak learning rate of the adapter.
        head_lr: Peak learning rate of the head.
        warmup: Share of the steps in which the rate rises from zero.
        schedule: Its course after that.
        weight_decay: AdamW's decoupled decay.
        eval_every: Steps between evaluations on the validation split.
        spectrum_every: Steps between spectra.
        train_size: Share of the training examples to learn from, drawn by the run's seed, of each class its share.
        accumulate: Parts that a step's batch is worked through in, one after another; the gradient is their mean.
        precision: Of a training step's forward pass; "bfloat16" is torch's autocast, weights and scores stay exact.
        gradient_checkpointing: Keep only each block's input for the backward pass, and compute the rest again.
        device: Where to train; "auto" is the first CUDA GPU where there is one.
        save_every: Steps between checkpoints that the run goes on from when interrupted; 0 for none.
    """

    steps: int = Field(150, ge=1, le=1_000_000)
    batch_size: int = Field(64, ge=1, le=65_536)
    lr: float = Field(1e-3, gt=0, le=100)
    head_lr: float = Field(1e-3, gt=0, le=100)
    warmup: float = Field(0.06, ge=0, le=1)
    schedule: Literal["cosine", "linear", "constant"] = "linear"
    weight_decay: float = Field(0.0, ge=0, le=100)
    eval_every: int = Field(25, ge=1)
    spectrum_every: int = Field(25, ge=1)
    train_size: float = Field(1.0, gt=0, le=1)
    accumulate: int = Field(1, ge=1, le=65_536)
    precision: Literal["float32", "bfloat16"] = "float32"
    gradient_checkpointing: bool = False
    device: Literal["auto", "cpu", "cuda"] = "auto"
    save_every: int = Field(0, ge=0)


class Arm(Schema):
    """One method with its settings; `lr` overrides the task's default learning rate."""

    method: str
    options: dict[str, Any]
    lr: float | None = None

    @property
    def label(self) -> str:
        """The arm as one writes it: "neat:rank=4,depth=2", with what differs from the defaults and the rank."""
        schema = METHODS[self.method].options
        options = schema.restore(self.options).model_dump()
        differing = schema.non_default(options)
        shown = {name: value for name, value in options.items() if name in ("rank", "depth") or name in differing}
        if self.lr is not None:
            shown["lr"] = self.lr
        parts = [
            f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}" for name, value in shown.items()
        ]
        return ":".join([self.method, ",".join(parts)]) if parts else self.method

    def identity(self) -> dict[str, Any]:
        """What is not at its default."""
        method = METHODS.get(self.method)  # None for a stored run of another version
        options = method.options.non_default(self.options) if method else self.options
        return {"method": self.method, "options": options, **self.non_default({"lr": self.lr})}

    def given(self) -> dict[str, Any]:
        """Options and learning rate as `make_arm` takes them."""
        return self.options | ({} if self.lr is None else {"lr": self.lr})


class LearningRate(Schema):
    """The one option that every arm has."""

    lr: float | None = Field(None, gt=0, le=100)


def make_arm(method: str, options: Mapping[str, Any]) -> Arm:
    """A validated arm with every option filled in.

    Args:
        method: A key of METHODS.
        options: Its options and `lr`; strings are converted.

    Raises:
        BadInput: Unknown method or option, or a value out of range.
    """
    if method not in METHODS:
        raise unknown("arm", method, METHODS)
    settings = {name: value for name, value in options.items() if name != "lr"}
    what = f"arm {method!r}"
    schema = METHODS[method].options
    for name in settings:
        if name not in schema.model_fields:
            raise unknown(f"option of {what}", name, [*schema.model_fields, "lr"])
    lr = LearningRate.parse({"lr": options["lr"]} if "lr" in options else {}, what).lr
    return Arm(method=method, options=schema.parse(settings, what).model_dump(), lr=lr)


def parse_arm(text: str) -> Arm:
    """An arm as one writes it on a command line: "lora:rank=4" or "neat:rank=4,depth=4,activation=gelu".

    Raises:
        BadInput: A part that is not name=value, or what `make_arm` refuses.
    """
    method, _, rest = text.strip().partition(":")
    return make_arm(method, parse_pairs(rest.split(",") if rest else [], f"arm {text!r}"))


class RunConfig(Schema):
    """Everything needed to repeat a run on the same package versions."""

    task: str
    task_options: dict[str, Any]
    arm: Arm
    training: TrainingConfig
    seed: int = Field(ge=0, lt=2**32)
    purpose: Literal["report", "tune"] = "report"  # a tuning run never sees the test split

    @property
    def spec(self) -> TaskSpec:
        """The task with all of its options."""
        return TaskSpec(self.task, self.task_options)

    @property
    def run_id(self) -> str:
        """The run's name: a hash of its `identity`."""
        return digest(self.identity())

    def identity(self) -> dict[str, Any]:
        """What is not at its default; an option that is added later leaves the names of older runs alone.

        Defaults are those of the schemas: a task's own training settings are written out.
        """
        from neatlab.tasks import TASKS  # not above, for the tasks import torch

        task = TASKS.get(self.task)  # None for a stored run of another version
        training = self.training.model_dump(exclude={"save_every"})  # changes nothing in the result
        return self.non_default(
            {
                "task": self.task,
                "task_options": task.options.non_default(self.task_options) if task else self.task_options,
                "arm": self.arm.identity(),
                "training": TrainingConfig.non_default(training),
                "seed": self.seed,
                "purpose": self.purpose,
            }
        )


def digest(values: Mapping[str, Any]) -> str:
    """Twelve hexadecimal digits of the SHA-256 of `values` as JSON, whatever the order of their names."""
    return hashlib.sha256(orjson.dumps(values, option=orjson.OPT_SORT_KEYS)).hexdigest()[:12]


def make_run(
    task: str,
    arm: Arm,
    seed: int,
    task_options: Mapping[str, Any],
    training: Mapping[str, Any],
    purpose: Literal["report", "tune"] = "report",
) -> RunConfig:
    """A run with the task's defaults filled in.

    The arm's own learning rate goes first, then `training`'s, then the task's default times the method's factor.

    Args:
        task: A key of TASKS.
        arm: What to train.
        seed: Seed of initialisation and data order.
        task_options: The task's options.
        training: Fields of `TrainingConfig`; None stands for the task's default.
        purpose: "tune" for a run that chooses settings and so must not see the test split.

    Raises:
        BadInput: Unknown task or option, or a value out of range.
    """
    row = TaskSpec(task).row
    given = {name: value for name, value in training.items() if value is not None}
    defaults = dict(row.training)
    defaults["lr"] *= METHODS[arm.method].lr_factor
    settings = {**defaults, **given} | ({} if arm.lr is None else {"lr": arm.lr})
    values = {
        "task": task,
        "task_options": row.options.parse(task_options, f"task {task!r}").model_dump(),
        "arm": arm,
        "training": TrainingConfig.parse(settings, "training"),
        "seed": seed,
        "purpose": purpose,
    }
    return RunConfig.parse(values, "run")
