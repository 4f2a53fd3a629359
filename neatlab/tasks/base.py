"""What a task is: a frozen base model, splits fixed by a seed, a loss and a metric."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn

from neatlab.events import ExamplesChosen
from neatlab.schema import Schema
from neatlab.tasks.answers import Answers, sampled_rows
from neatlab.tasks.metrics import Measure, Metric
from neatlab.tasks.outcomes import Outcomes

Split = Literal["train", "validation", "test"]
Batch = dict[str, Tensor]


@dataclass(frozen=True)
class Score:
    """Loss, metric and further named quantities of one split.

    `outcomes` is what the metric is computed from; None where that is not one pair of values an example. `texts` is
    what the model wrote to each example, where it was made to write.
    """

    loss: float
    metric: float
    extras: dict[str, float]
    outcomes: Outcomes | None = field(default=None, compare=False)
    texts: tuple[str, ...] = field(default=(), compare=False)

    @classmethod
    def by(cls, measure: Measure, outcomes: Outcomes, loss: float, extras: Mapping[str, float] | None = None) -> Self:
        """A score whose metric is `measure` of the outcomes, from which it can so be computed again."""
        return cls(loss, measure.compute(outcomes.true, outcomes.predicted), {**(extras or {})}, outcomes)


class Task(ABC):
    """One task; a subclass a file, one row in TASKS.

    Attributes:
        title: Its name for people.
        family: What kind of ability it asks for: vision, language, arithmetic, reasoning, or what nobody measures.
        base: The frozen model, in a few words.
        license: Of its data.
        source: Whose data they are, or how they are made.
        metric: What it is judged by; `metric_for` where that depends on the options.
        base_metric: How well the model still does what the base was trained on; None where that is nothing.
        selects_by: What learning rates are chosen by on the validation split.
        targets: Names of the layers that adapters go on.
        head: Names of the modules that train whole.
        training: Its default training settings, `lr` for adapters.
        options: Schema of its options.
        choices: What the page offers of it, title → options; nothing where options name files.
        is_small: Whether its model is scored within seconds, so that the page does it on request.
    """

    title: ClassVar[str]
    family: ClassVar[str] = ""
    base: ClassVar[str] = ""
    license: ClassVar[str] = ""
    source: ClassVar[str] = ""
    metric: ClassVar[Metric]
    base_metric: ClassVar[Metric | None] = None
    selects_by: ClassVar[Literal["metric", "loss"]] = "metric"
    targets: ClassVar[list[str]]
    head: ClassVar[list[str]]
    training: ClassVar[dict[str, Any]]
    options: ClassVar[type[Schema]]
    choices: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    is_small: ClassVar[bool] = False

    @classmethod
    def count(cls, options: Any) -> int:
        """How many training examples there are with these options, a record of `cls.options`; no model is loaded.

        Raises:
            NotImplementedError: Only the user's data tell.
        """
        raise NotImplementedError(f"{cls.__name__}: how many examples there are, its data tell")

    @classmethod
    def metric_for(cls, options: Any) -> Metric:
        """What the task is judged by with these options, a record of `cls.options`."""
        return cls.metric

    @classmethod
    def shown_options(cls, options: Mapping[str, str]) -> dict[str, str]:
        """The options as labels show them, where paths and digests would tell people nothing."""
        return dict(options)

    @classmethod
    def layer_shape(cls, options: Any) -> tuple[int, int] | None:
        """(d_out, d_in) of the first adapted layer with these options; None where only the model tells."""
        return None

    def describe(self) -> list[str]:
        """How what the options left open was filled in, a line each; loads data and model where there is any."""
        return []

    def without_data(self, shapes: Mapping[str, tuple[int, ...]]) -> "Task":
        """The task whose base model these trained weights fit, made without its data, which may be gone.

        Args:
            shapes: Name in the base model → shape, of all weights that a run trained under their own names.
        """
        return self

    @abstractmethod
    def base_model(self) -> nn.Module:
        """A fresh copy of the base checkpoint, trained and cached on first use."""

    @abstractmethod
    def split(self, name: Split) -> Batch:
        """All examples of a split, a tensor a column, the first dimension the example."""

    @abstractmethod
    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """The training loss of a batch, a scalar."""

    def weight(self, batch: Batch) -> int:
        """How many terms `loss` is the mean of, so that a batch in parts has the gradient of the whole."""
        return size(batch)

    @abstractmethod
    def score(self, model: nn.Module, name: Split) -> Score:
        """Loss and metric on a whole split, without gradients."""

    def sample(self) -> Batch:
        """The validation examples whose answers are shown."""
        batch = self.split("validation")
        return select(batch, sampled_rows(size(batch)))

    def examples(self) -> ExamplesChosen | None:
        """How the examples of `sample` are shown, and what they should give; None where nothing is to be shown."""
        return None

    def answers(self, model: nn.Module, score: Score) -> Answers:
        """The model's answers to the examples of `sample`, without gradients; asked for where `examples` has some.

        Args:
            model: The model.
            score: Its score on the validation split, just made.
        """
        raise NotImplementedError(f"{type(self).__name__} shows examples and has no answers to them")

    def true_deltas(self) -> dict[str, Tensor]:
        """Layer → the ΔW that is to be learnt, d_out × d_in, where it is known."""
        return {}

    def base_score(self, model: nn.Module) -> float | None:
        """`base_metric` on held-out examples of the base's own task, without gradients: what adaptation forgot."""
        return None


def size(batch: Batch) -> int:
    """Examples in a batch."""
    return len(next(iter(batch.values())))


def select(batch: Batch, index: Tensor) -> Batch:
    """The examples at `index`."""
    return {name: column[index] for name, column in batch.items()}


def to_device(batch: Batch, model: nn.Module) -> Batch:
    """The batch on the device that the model is on."""
    device = next(model.parameters()).device
    return {name: column.to(device) for name, column in batch.items()}


def eval_mode(model: nn.Module) -> torch.no_grad:
    """Put `model` in evaluation mode and switch gradients off."""
    model.eval()
    return torch.no_grad()
