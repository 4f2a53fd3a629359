"""AXES: what the Ablate tab varies of base arm, task and training, in the order of the grid. One row an axis."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, get_args

from neatlab.adapters.activations import COMPARED
from neatlab.adapters.methods import METHODS
from neatlab.adapters.methods.base import EVERY_BLOCK, LINEAR, TASKS_OWN
from neatlab.adapters.neat_sizes import Conditioning, Orientation, Residual
from neatlab.config import Arm, TrainingConfig
from neatlab.dashboard.shared.choices import check_arm
from neatlab.dashboard.shared.field_error import FieldError
from neatlab.errors import BadInput

Value = int | float | str
MAX_VALUES = 16  # of one axis
SIZE, SHARE = "size", "train_size"


class Axis(NamedTuple):
    """One row of AXES.

    Args:
        label: Its name for people.
        unit: What stands before a value in the grid.
        offered: The values to choose from.
        typed: Whether others may be typed.
    """

    label: str
    unit: str
    offered: tuple[Value, ...]
    typed: bool = False


DEPTHS = tuple(range(2, 9))
AXES: dict[str, Axis] = {
    "depth": Axis("depths L", "depth", DEPTHS),
    "activation": Axis("activations σ", "σ", COMPARED),
    "rank": Axis("ranks r", "rank", (1, 2, 4, 8, 16, 32), True),
    "lr": Axis("learning rates", "lr", (0.001, 0.003, 0.01, 0.03, 0.1), True),
    "orientation": Axis("orientations", "orientation", get_args(Orientation)),
    "residual": Axis("residuals", "residual", get_args(Residual)),
    "conditioning": Axis("conditioning on W₀", "conditioning", get_args(Conditioning)),
    "scaling": Axis("scalings s", "s", (0.1, 0.3, 1.0, 3.0), True),
    "frequency": Axis("frequencies ω of sin", "ω", (0.3, 1.0, 3.0, 10.0, 30.0), True),
    "layers": Axis("layers, or as 4-11", "layers", (EVERY_BLOCK, "first", "last"), True),
    "modules": Axis("modules, or as q_proj+v_proj", "modules", (TASKS_OWN, LINEAR), True),
    "alpha": Axis("LoRA's alphas α", "α", (2.0, 4.0, 8.0, 16.0), True),
    SIZE: Axis("training examples", "examples", (), False),
    SHARE: Axis("share of the training data", "share", (0.05, 0.1, 0.25, 0.5, 1.0), True),
}
FIRST = ("depth", "activation")  # have fields and link parameters of their own; the others are under "More to vary"
MORE = tuple(name for name in AXES if name not in FIRST)
# Task → the option that says how many training examples it has, and the values to choose from.
SIZES: dict[str, tuple[str, tuple[int, ...]]] = {
    "teacher": ("samples", (125, 250, 500, 1000, 2000)),
    "arithmetic": ("samples", (125, 250, 500, 1000)),
    "text": ("per_package", (10, 20, 40, 80, 160)),
}


def has_axis(name: str, method: str, task: str) -> bool:
    """Whether an axis varies anything of an arm of this method on this task."""
    if name == SIZE:
        return task in SIZES
    return name in ("lr", SHARE) or (method in METHODS and name in METHODS[method].options.model_fields)


def offered(name: str, task: str) -> tuple[Value, ...]:
    """The values of an axis to choose from."""
    return SIZES[task][1] if name == SIZE and task in SIZES else AXES[name].offered


def read_axes(base: Arm, task: str, given: Mapping[str, Any]) -> dict[str, tuple[Value, ...]]:
    """The axes that have values, in the order of AXES; those that the base arm or the task lacks are ignored.

    Args:
        base: What is varied.
        task: The task's name.
        given: Axis → values, as numbers or text.

    Raises:
        FieldError: A value that an arm of the page cannot have.
    """
    wanted = [name for name in AXES if given.get(name) and has_axis(name, base.method, task)]
    read = {name: _values(name, base, task, _several(given[name])) for name in wanted}
    return {name: values for name, values in read.items() if values}


def place(axis: str) -> str:
    """Beside which field a mistake in an axis stands."""
    return axis if axis in FIRST else "axes"


def _several(values: Any) -> list[Any]:
    return list(values) if isinstance(values, list | tuple) else []


def _values(name: str, base: Arm, task: str, values: Sequence[Any]) -> tuple[Value, ...]:
    if len(values) > MAX_VALUES:
        raise FieldError(place(name), f"{len(values)} values of {name}; at most {MAX_VALUES}")
    if not AXES[name].typed:
        return chosen(name, values, offered(name, task))
    return tuple(sorted({_typed(name, base, value) for value in values}))


def _typed(name: str, base: Arm, value: Any) -> Value:
    """A value as the schema of the base arm, or of the training, reads it."""
    if name == SHARE:
        return _share(value)
    read: Value = check_arm(place(name), base.method, base.given() | {name: value}).given()[name]
    return read


def _share(value: Any) -> float:
    try:
        return TrainingConfig.parse({SHARE: value}, "training").train_size
    except BadInput as error:
        raise FieldError("axes", str(error)) from None


def chosen(name: str, values: Sequence[Any], allowed: Sequence[Value]) -> tuple[Value, ...]:
    """The values in the order of `allowed`, once each; numbers may be text.

    Raises:
        FieldError: Another value.
    """
    texts = {str(value): value for value in allowed}
    for value in values:
        if isinstance(value, bool) or str(value) not in texts:
            raise FieldError(place(name), f"{name} {str(value)[:40]!r}; allowed: {', '.join(texts)}")
    wanted = {str(value) for value in values}
    return tuple(value for text, value in texts.items() if text in wanted)
