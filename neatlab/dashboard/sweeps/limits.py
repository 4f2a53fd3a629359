"""What one visitor may ask of a sweep from the page."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from neatlab.dashboard.shared.arm_values import is_empty
from neatlab.dashboard.shared.field_error import FieldError
from neatlab.errors import BadInput
from neatlab.schema import Schema

MAX_FIXED_SEEDS = 5
MAX_MARGIN = 1e6


def _seed_count(value: Any) -> Any:
    if value == "auto":
        return value
    if str(value).strip() not in map(str, range(1, MAX_FIXED_SEEDS + 1)):
        raise ValueError(f"give 1 to {MAX_FIXED_SEEDS}, or auto for as many as decide it")
    return int(value)


SeedCount = Annotated[int | Literal["auto"], BeforeValidator(_seed_count)]


class SweepLimits(Schema):
    """What one visitor may ask of the machine that serves the page; larger sweeps belong on the command line."""

    seeds: SeedCount = 3
    steps: int | None = Field(None, ge=1, le=5000)
    margin: float | None = Field(None, ge=0, le=MAX_MARGIN)
    rates: Literal["auto"] | None = None


def read_limits(settings: Mapping[str, Any]) -> SweepLimits:
    """The limits that a form's values stand for; an empty one takes its default.

    Raises:
        FieldError: One that cannot be.
    """
    given = {name: None if is_empty(value) else value for name, value in settings.items()}
    try:
        return SweepLimits.parse(given, "this page")
    except BadInput as error:
        raise FieldError("run", str(error)) from None
