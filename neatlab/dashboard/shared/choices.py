"""What the page offers and allows: its tasks, its arms and their limits."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from neatlab.config import Arm, make_arm
from neatlab.dashboard.shared.field_error import FieldError
from neatlab.errors import BadInput, unknown
from neatlab.schema import Schema
from neatlab.tasks import TASKS, TaskSpec

PARTS = ("a", "b", "c", "d")  # the arms of the form
DERIVED = ("model_sha256", "data_sha256", "center", "scale")  # of own data: filled in from the data, the same anywhere
UPLOADED = "upload:"  # begins the keys of data that a window has brought


def task_choices() -> dict[str, str]:
    """Title → text of every task that the page offers, as the rows of TASKS say.

    Nothing else is taken but keys of what a window has uploaded: a task's options can name files and sizes of any kind.
    """
    return {
        title: str(TaskSpec(name, options)) for name, row in TASKS.items() for title, options in row.choices.items()
    }


def offered_task(text: Any) -> TaskSpec:
    """The task that this text of the page's list stands for.

    Raises:
        BadInput: A text that is not on it.
    """
    if text not in task_choices().values():
        raise unknown("task", text, task_choices().values())
    return TaskSpec.parse(text)


def known_task(task: Any, uploads: Mapping[str, TaskSpec]) -> TaskSpec:
    """The task that a text of the page's list, or a key of the window's uploads, stands for.

    Raises:
        BadInput: Neither of these.
    """
    if isinstance(task, str) and task in uploads:
        return uploads[task]
    if isinstance(task, str) and task.startswith(UPLOADED):
        raise BadInput("these data are not here any more; upload them again under Your own data, or choose a task")
    return offered_task(task)


def repeatable(task: TaskSpec) -> str:
    """The task for a command line; of an upload by the file's name, for it lies elsewhere outside this page."""
    if task.name != "custom":
        return str(task)
    options = {option: value for option, value in task.options.items() if option not in DERIVED}
    return shlex.quote(str(TaskSpec(task.name, options | {"data": Path(options["data"]).name})))


def _check_offered(text: str) -> str:
    texts = [repr(offered) for offered in task_choices().values()]
    if repr(text) not in texts:
        raise ValueError(f"input should be {', '.join(texts[:-1])} or {texts[-1]}")
    return text


OfferedTask = Annotated[str, AfterValidator(_check_offered)]  # of a schema: a text of the page's list


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
