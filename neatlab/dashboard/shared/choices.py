"""What the page offers and allows: its tasks, its arms and their limits."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from neatlab.config import Arm, make_arm
from neatlab.dashboard.shared.field_error import FieldError
from neatlab.errors import BadInput
from neatlab.schema import Schema

PARTS = ("a", "b", "c", "d")  # the arms of the form
UPLOADED = "upload:"  # begins the keys of data that a window has brought

# What the page offers as a task, written as on the command line. Nothing else is taken but keys of what a window has
# uploaded: a task's options can name files and sizes of any kind.
TASK_CHOICES = {
    "digits, turned and inverted": "digits",
    "teacher, ΔW* a function of W₀": "teacher:kind=weight-aware",
    "teacher, ΔW* of low rank": "teacher:kind=low-rank",
    "teacher, ΔW* of full rank": "teacher:kind=full-rank",
    "arithmetic, a new operation": "arithmetic",
    "facts, another world": "facts",
    "text, on MiniLM": "text",
}


class ArmLimits(Schema):
    """What an arm of this page may be."""

    rank: int = Field(4, ge=1, le=512)
    depth: int = Field(2, le=16)


def check_arm(part: str, method: Any, options: Mapping[str, Any]) -> Arm:
    """An arm within the page's limits.

    Raises:
        FieldError: It cannot be built.
    """
    try:
        arm = make_arm(str(method), options)
        ArmLimits.parse({n: v for n, v in arm.options.items() if n in ArmLimits.model_fields}, "this page")
    except BadInput as error:
        raise FieldError(part, str(error)) from None
    return arm
