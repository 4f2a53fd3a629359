"""What a training run says while it goes; the only thing that training and its listeners share."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from neatlab.errors import StoreError

Value: TypeAlias = int | float | str | list[float] | None  # of one example; None where it is not a number


@dataclass(frozen=True)
class RunStarted:
    """The model is ready.

    Args:
        trainable_params: Parameters with a gradient, the head's included.
        adapter_params: Those of the adapter alone.
        total_params: All parameters.
        saved_bytes: Bytes that a training batch's forward pass keeps for the backward pass, parameters aside; None
            where nobody counted them.
        layers: Adapted layers, name → (d_out, d_in).
        base_metric: The base task's metric before the first step; None where the task has none.
        sharpness: Largest eigenvalue of the training loss's Hessian over the adapter; None where it was not measured.
        suggested_lr: The learning rate that the curvature suggests; None where it does not.
    """

    trainable_params: int
    adapter_params: int
    total_params: int
    saved_bytes: int | None
    layers: dict[str, tuple[int, int]]
    base_metric: float | None = None
    sharpness: float | None = None
    suggested_lr: float | None = None


@dataclass(frozen=True)
class Step:
    """One optimiser step.

    Args:
        step: Steps done, from 1.
        loss: Training loss of the step's batch, before the step.
        lr: The adapter's learning rate in it.
        seconds: Wall-clock time it took.
    """

    step: int
    loss: float
    lr: float
    seconds: float


@dataclass(frozen=True)
class Evaluated:
    """A whole split was scored; `extras` holds further named quantities, such as the recovered error."""

    step: int
    split: str
    loss: float
    metric: float
    extras: dict[str, float] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class SpectrumMeasured:
    """Singular values of one layer's ΔW and what they sum up to; NaN where ΔW = 0.

    `dead_units` is the share of a NEAT layer's hidden units that give 0 for every row of W₀; NaN for other methods.
    """

    step: int
    layer: str
    singular_values: tuple[float, ...]
    effective_rank: float
    stable_rank: float
    participation_ratio: float
    norm: float
    relative_norm: float
    dead_units: float = math.nan


@dataclass(frozen=True)
class ExamplesChosen:
    """The validation examples whose answers the run keeps, the same in every run of a task.

    Args:
        inputs: What is shown of each: a "picture", a "text", or "nothing".
        answers: What an answer is: a "class", a "text", a "number", an "outputs" list of numbers, or the "loss" of a
            text, which is neither right nor wrong.
        shown: Each example's text, or its picture as WebP in base64; empty where nothing is shown.
        true: What each should give, as the values of `Predicted`; empty for "loss".
        names: Names of the classes; empty where there are none, or too many.
    """

    inputs: Literal["picture", "text", "nothing"]
    answers: Literal["class", "text", "number", "outputs", "loss"]
    shown: tuple[str, ...]
    true: tuple[Value, ...]
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Predicted:
    """What the model answers to the examples of `ExamplesChosen`; at step 0 that is the base.

    Args:
        step: Steps done.
        values: A class as its index, a text, a number or a list of them.
        probability: Of each answer; empty where there is none.
        margin: What each class's probability is ahead of the next one's; empty for other answers.
        right: 1 where the answer is right; empty for numbers.
        confusion: How often each class (row) was taken for each in the whole split; empty for other answers.
    """

    step: int
    values: tuple[Value, ...]
    probability: tuple[float, ...] = ()
    margin: tuple[float, ...] = ()
    right: tuple[int, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True)
class RunFinished:
    """All steps done and the test split scored once; `base_metric` is the base task's, what adaptation left of it."""

    step: int
    seconds: float
    seconds_per_step: float
    base_metric: float | None = None


@dataclass(frozen=True)
class RunFailed:
    """The run ended without a result: `error` says why, `step` where."""

    error: str
    step: int


@dataclass(frozen=True)
class RunPruned:
    """The run was ended early because others did better on the validation split by this step."""

    step: int


@dataclass(frozen=True)
class RunInterrupted:
    """The run was stopped by whoever started it, and may be resumed or started anew."""

    step: int


Event = (
    RunStarted
    | Step
    | Evaluated
    | SpectrumMeasured
    | ExamplesChosen
    | Predicted
    | RunFinished
    | RunFailed
    | RunPruned
    | RunInterrupted
)

_TYPES: dict[str, type[Event]] = {cls.__name__: cls for cls in get_args(Event)}


def to_dict(event: Event) -> dict[str, Any]:
    """The event as plain values, with its type's name under "type"."""
    return {"type": type(event).__name__, **dataclasses.asdict(event)}


def from_dict(values: dict[str, Any]) -> Event:
    """The event that `to_dict` wrote.

    Raises:
        StoreError: An unknown type, or fields that are not that type's.
    """
    fields = dict(values)
    try:
        return _TYPES[fields.pop("type")](**fields)
    except (KeyError, TypeError) as error:
        raise StoreError(f"not an event of this version: {str(values)[:80]}") from error
