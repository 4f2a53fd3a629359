"""The paper's experiments as data: one file a data set, each figure with its source."""

import tomllib
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, Literal

from pydantic import Field

from neatlab.errors import unknown
from neatlab.schema import Schema
from neatlab.tasks import TaskSpec
from neatlab.tasks.custom.options import CustomOptions, validation_count


class Estimates(Schema):
    """What one arm and seed costs about; computed, not measured."""

    gpu: str
    memory_gib: float = Field(gt=0)
    hours: float = Field(gt=0)


class Recipe(Schema):
    """One experiment of the paper.

    Args:
        title: What it is.
        epochs: Passes over the training data.
        examples: Training examples of the data.
        own_validation: Whether the data have a validation split that is not reported on; else one is set aside.
        lr: "auto" where a learning rate is unknown: arms that name none are given theirs on validation data.
        selection: Which checkpoint the authors report, and which we do.
        published: The published result, or that it is unknown.
        task: Options of the task `custom`.
        training: Fields of `TrainingConfig` other than `steps`.
        arms: Name → arm.
        estimates: Cost of one arm and seed.
        sources: Where task, training and each arm's settings come from.
    """

    title: str
    epochs: int = Field(ge=1)
    examples: int = Field(ge=1)
    own_validation: bool = False
    lr: Literal["auto"] | None = None
    selection: str
    published: str
    task: dict[str, Any]
    training: dict[str, Any]
    arms: dict[str, str]
    estimates: Estimates
    sources: dict[str, str]

    @property
    def steps_an_epoch(self) -> int:
        """Optimiser steps of one pass over what is learnt from; the loop drops the last short batch."""
        learnt = self.examples - (0 if self.own_validation else validation_count(self.examples))
        return max(learnt // int(self.training["batch_size"]), 1)

    @property
    def steps(self) -> int:
        """Optimiser steps in all."""
        return self.epochs * self.steps_an_epoch

    def request(self) -> dict[str, Any]:
        """What `neatlab.compare` takes: task, arms, training, steps and learning rate; one evaluation an epoch."""
        every = {"eval_every": self.steps_an_epoch, "spectrum_every": self.steps_an_epoch}
        return {
            "task": TaskSpec("custom", self.task),
            "arms": list(self.arms.values()),
            "training": {**every, **self.training},
            "steps": self.steps,
            "lr": self.lr,
        }

    def describe(self) -> list[str]:
        """What to know before a run: cost, selection, published result, sources."""
        cost = f"about {self.estimates.hours:g} h and {self.estimates.memory_gib:g} GiB an arm and seed"
        facts = [f"{self.title}; {self.steps:,} steps; estimate on a GPU, {self.estimates.gpu}: {cost}"]
        facts += [f"selection: {self.selection}", f"published result: {self.published}"]
        return [*facts, *(f"source of {name}: {text}" for name, text in self.sources.items())]


def recipe_names() -> list[str]:
    """Every recipe, as "benchmark/data-set"."""
    folders = sorted((folder for folder in _root().iterdir() if folder.is_dir()), key=lambda folder: folder.name)
    recipes = [(folder.name, file.name) for folder in folders for file in folder.iterdir()]
    return sorted(f"{benchmark}/{name.removesuffix('.toml')}" for benchmark, name in recipes if name.endswith(".toml"))


def load_recipe(text: str) -> Recipe:
    """A recipe, and options of its task that differ here: "glue/rte:model=DIR,data=DIR".

    Raises:
        BadInput: No such recipe, or no such option.
    """
    spec = TaskSpec.parse(text)
    name, changes = spec.name, spec.options
    if name not in recipe_names():
        raise unknown("recipe", name, recipe_names())
    benchmark, _, data = name.partition("/")
    values = tomllib.loads((_root() / benchmark / f"{data}.toml").read_text(encoding="utf-8"))
    for option in changes:
        if option not in CustomOptions.model_fields:
            raise unknown(f"option of recipe {name!r}", option, CustomOptions.model_fields)
    return Recipe.parse({**values, "task": {**values["task"], **changes}}, f"recipe {name!r}")


def _root() -> Traversable:
    return files("neatlab.recipes")
