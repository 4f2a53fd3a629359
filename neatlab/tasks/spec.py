"""A task as a value: its name and options, made once of what a command, page, link or recipe says, and passed on."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import BeforeValidator

from neatlab.errors import BadInput, unknown
from neatlab.schema import parse_pairs
from neatlab.tasks.metrics import Metric

if TYPE_CHECKING:
    from neatlab.tasks.base import Task

OUTSIDE_QUOTES = r'(?=(?:[^"]*"[^"]*")*[^"]*$)'
BACKSLASHES = re.compile(r"(\\*)(n|\n)")  # those before an n or a new line are what `_escaped` doubles


@dataclass(frozen=True)
class TaskSpec:
    """A key of TASKS with options, both unchecked until they are used: "teacher:kind=low-rank,d_in=64".

    Args:
        name: The task's name.
        options: Option → value, as text, which the task's schema converts.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", {option: str(value) for option, value in self.options.items()})

    def __hash__(self) -> int:
        return hash((self.name, frozenset(self.options.items())))

    @classmethod
    def parse(cls, task: "str | TaskSpec") -> Self:
        """A task as one writes it; a TaskSpec is returned as it is.

        A value in double quotes may hold commas, spaces at its ends, and \\n for a new line.

        Raises:
            BadInput: A part that is not of the form option=value, or an option given twice.
        """
        if isinstance(task, cls):
            return task
        name, _, rest = str(task).strip().partition(":")
        parts = re.split(f",{OUTSIDE_QUOTES}", rest) if rest else []
        return cls(name, {o: _unquoted(value) for o, value in parse_pairs(parts, f"task {str(task)!r}").items()})

    def __str__(self) -> str:
        """The task as one writes it; `parse` reads it back.

        Raises:
            BadInput: A value with a double quote in it.
        """
        for value in self.options.values():
            if '"' in value:
                raise BadInput(f"{value!r}: an option of a task cannot hold a double quote")
        return _text(self.name, self.options)

    @property
    def label(self) -> str:
        """The task for people: with the options that differ from its defaults, files by their names."""
        defaults = _defaults(self.name)
        return _text(self.name, {o: value for o, value in self.shown_options.items() if value != defaults.get(o)})

    @property
    def shown_options(self) -> dict[str, str]:
        """The options as labels show them."""
        row = _table().get(self.name)  # None for a stored run of another version
        return dict(self.options) if row is None else row.shown_options(self.options)

    @property
    def row(self) -> "type[Task]":
        """The task's row in TASKS.

        Raises:
            BadInput: There is none.
        """
        if self.name not in (table := _table()):
            raise unknown("task", self.name, table)
        return table[self.name]

    @property
    def metric(self) -> Metric:
        """What the task is judged by.

        Raises:
            BadInput: Options that it does not have, or out of range.
        """
        return self.row.metric_for(self._parsed())

    def load(self) -> "Task":
        """The task, its data and base checkpoint not yet loaded.

        Raises:
            BadInput: Options that it does not have, or out of range.
        """
        row: Any = self.row
        task: Task = row(self._parsed())
        return task

    def varied(self, changes: Mapping[str, Any]) -> "TaskSpec":
        """The task with further options.

        Raises:
            BadInput: One that it has already.
        """
        for option in changes.keys() & self.options.keys():
            raise BadInput(f"task {_text(self.name, self.options)!r}: {option} is given twice")
        return TaskSpec(self.name, {**self.options, **changes})

    def _parsed(self) -> Any:
        return self.row.options.parse(self.options, f"task {self.name!r}")


TaskField = Annotated[TaskSpec, BeforeValidator(TaskSpec.parse)]  # of a schema: takes a TaskSpec, or its text


def _table() -> "dict[str, type[Task]]":
    from neatlab.tasks.table import TASKS  # not above, for the tasks import torch

    return TASKS


def _defaults(name: str) -> dict[str, str]:
    fields = table[name].options.model_fields if name in (table := _table()) else {}
    return {option: str(field.default) for option, field in fields.items()}


def _text(name: str, options: Mapping[str, str]) -> str:
    return ":".join(filter(None, [name, ",".join(f"{option}={_quoted(value)}" for option, value in options.items())]))


def _quoted(value: str) -> str:
    return f'"{_escaped(value)}"' if not value or re.search(r"[,\s]", value) else value


def _unquoted(value: str) -> str:
    return _unescaped(value[1:-1]) if re.fullmatch(r'"[^"]*"', value) else value


def _escaped(value: str) -> str:
    """New lines as \\n; backslashes before an n or a new line are doubled, so that a path's \\new stays itself."""
    return BACKSLASHES.sub(lambda m: m[1] * 2 + ("n" if m[2] == "n" else "\\n"), value)


def _unescaped(value: str) -> str:
    return re.sub(r"(\\+)n", lambda m: "\\" * (len(m[1]) // 2) + ("\n" if len(m[1]) % 2 else "n"), value)
