"""An arm's fields as plain values: to an arm, from one and back."""

from collections.abc import Mapping
from typing import Any

from neatlab.adapters.methods import METHODS
from neatlab.config import Arm, parse_arm
from neatlab.dashboard.shared.choices import check_arm
from neatlab.dashboard.shared.field_error import FieldError
from neatlab.errors import BadInput

Values = Mapping[str, Any]


def option_names(method: str) -> list[str]:
    """The options that a method has, its learning rate last."""
    return [*METHODS[method].options.model_fields, "lr"]


def default(method: str, name: str) -> Any:
    """An option's value in a fresh form."""
    return None if name == "lr" else METHODS[method].options.model_fields[name].default


def read_arm(part: str, values: Values) -> Arm:
    """One arm of the form; options that its method does not have are ignored, and those without a field at default.

    Args:
        part: The arm's name in the form.
        values: Field → value: "a.method", "a.rank", …

    Raises:
        FieldError: It cannot be built.
    """
    method = str(values[f"{part}.method"])
    names = option_names(method) if method in METHODS else []
    given = {name: values[f"{part}.{name}"] for name in names if f"{part}.{name}" in values}
    options = {n: v for n, v in given.items() if not (is_empty(v) and default(method, n) is None)}
    return check_arm(part, method, options)


def is_empty(value: Any) -> bool:
    """Whether a field has nothing in it."""
    return value is None or (isinstance(value, str) and not value.strip())


def arm_text(part: str, values: Values) -> str | None:
    """An arm of the form as one writes it, unchecked; None where there is none."""
    method = values.get(f"{part}.method")
    if method not in METHODS:
        return None
    options = {name: values.get(f"{part}.{name}") for name in option_names(method)}
    shown = [f"{n}={v}" for n, v in options.items() if not is_empty(v) and (n == "rank" or v != default(method, n))]
    return ":".join([method, ",".join(shown)]) if shown else str(method)


def written_arm(part: str, text: str) -> dict[str, Any]:
    """Field → value of an arm that is written as text.

    Raises:
        FieldError: It cannot be built.
    """
    try:
        arm = parse_arm(text)
    except BadInput as error:
        raise FieldError(part, str(error)) from None
    check_arm(part, arm.method, arm.given())
    fields = {f"{part}.method": arm.method, f"{part}.lr": arm.lr}
    return fields | {f"{part}.{name}": value for name, value in arm.options.items()}
