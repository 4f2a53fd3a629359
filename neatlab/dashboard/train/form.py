"""The Train tab's fields as plain values: to an order, from a link and back."""

from collections.abc import Mapping, Sequence
from typing import Any

from neatlab.adapters.methods import METHODS
from neatlab.config import Arm, parse_arm
from neatlab.dashboard.shared.choices import PARTS, check_arm
from neatlab.dashboard.shared.field_error import FieldError
from neatlab.dashboard.train.request import MIN_ARMS, Order
from neatlab.errors import BadInput
from neatlab.tasks import TaskSpec

SETTINGS = ("task", "steps", "batch", "lr", "seed", "match")
NO_MATCH = "none"
Values = Mapping[str, Any]


def option_names(method: str) -> list[str]:
    """The options that a method has, its learning rate last."""
    return [*METHODS[method].options.model_fields, "lr"]


def default(method: str, name: str) -> Any:
    """An option's value in a fresh form."""
    return None if name == "lr" else METHODS[method].options.model_fields[name].default


def read_form(values: Values, uploads: Mapping[str, TaskSpec] | None = None) -> Order:
    """Check the form.

    Args:
        values: Field → value: those of SETTINGS, and for each arm "a.method", "a.rank", …
        uploads: Key → task, of what the window has brought.

    Returns:
        What to train.

    Raises:
        FieldError: Something cannot be trained; says where.
    """
    chosen = [part for part in PARTS if values.get(f"{part}.method")]
    missing = next((part for part in PARTS if part not in chosen), PARTS[-1])
    if len(chosen) < MIN_ARMS:
        raise FieldError(missing, "choose a second arm: the page shows two to four side by side")
    if missing < chosen[-1]:
        raise FieldError(missing, f"choose arm {missing.upper()} before arm {chosen[-1].upper()}")
    arms = {part: _arm(part, values) for part in chosen}
    given = {name: None if _empty(value := values.get(name)) else value for name in SETTINGS}
    settings = {name: given[name] for name in ("steps", "lr")}
    settings |= {"batch_size": given["batch"], "seed": given["seed"] or 0}
    settings |= {"match": None if given["match"] == NO_MATCH else given["match"]}
    return Order.check(given["task"], list(arms.values()), settings, uploads)


def _arm(part: Any, values: Values) -> Arm:
    """One arm of the form; options that its method does not have are ignored, and those without a field at default."""
    method = str(values[f"{part}.method"])
    names = option_names(method) if method in METHODS else []
    given = {name: values[f"{part}.{name}"] for name in names if f"{part}.{name}" in values}
    options = {n: v for n, v in given.items() if not (_empty(v) and default(method, n) is None)}
    return check_arm(part, method, options)


def _empty(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def arm_text(part: str, values: Values) -> str | None:
    """An arm of the form as one writes it, unchecked; None where there is none."""
    method = values.get(f"{part}.method")
    if method not in METHODS:
        return None
    options = {name: values.get(f"{part}.{name}") for name in option_names(method)}
    shown = [f"{n}={v}" for n, v in options.items() if not _empty(v) and (n == "rank" or v != default(method, n))]
    return ":".join([method, ",".join(shown)]) if shown else str(method)


def arm_fields(arms: Sequence[str]) -> dict[str, Any]:
    """Field → value of these arms; parts without an arm have an empty method.

    Raises:
        FieldError: An arm that cannot be built; says which.
    """
    fields: dict[str, Any] = {f"{part}.method": "" for part in PARTS}
    for part, text in zip(PARTS, arms, strict=False):
        try:
            arm = parse_arm(text)
        except BadInput as error:
            raise FieldError(part, str(error)) from None
        check_arm(part, arm.method, arm.given())
        fields |= {f"{part}.method": arm.method, f"{part}.lr": arm.lr}
        fields |= {f"{part}.{name}": value for name, value in arm.options.items()}
    return fields
