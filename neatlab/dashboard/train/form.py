"""The Train tab's fields as plain values: to an order, from a link and back."""

from collections.abc import Mapping, Sequence
from typing import Any

from neatlab.dashboard.shared.arm_values import Values, is_empty, read_arm, written_arm
from neatlab.dashboard.shared.choices import PARTS
from neatlab.dashboard.shared.field_error import FieldError
from neatlab.dashboard.train.request import MIN_ARMS, Order
from neatlab.tasks import TaskSpec

SETTINGS = ("task", "steps", "batch", "lr", "seed", "match")
NO_MATCH = "none"


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
    arms = {part: read_arm(part, values) for part in chosen}
    given = {name: None if is_empty(value := values.get(name)) else value for name in SETTINGS}
    settings = {name: given[name] for name in ("steps", "lr")}
    settings |= {"batch_size": given["batch"], "seed": given["seed"] or 0}
    settings |= {"match": None if given["match"] == NO_MATCH else given["match"]}
    return Order.check(given["task"], list(arms.values()), settings, uploads)


def arm_fields(arms: Sequence[str]) -> dict[str, Any]:
    """Field → value of these arms; parts without an arm have an empty method.

    Raises:
        FieldError: An arm that cannot be built; says which.
    """
    fields: dict[str, Any] = {f"{part}.method": "" for part in PARTS}
    for part, text in zip(PARTS, arms, strict=False):
        fields |= written_arm(part, text)
    return fields
