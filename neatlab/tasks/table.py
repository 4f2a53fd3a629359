"""TASKS: every task that a run can name, in the order in which the page offers them. One file a task, one row here."""

from neatlab.tasks.arithmetic import Arithmetic
from neatlab.tasks.base import Task
from neatlab.tasks.custom.task import Custom
from neatlab.tasks.digits import Digits
from neatlab.tasks.facts import Facts
from neatlab.tasks.teacher import Teacher
from neatlab.tasks.text import TextTask

TASKS: dict[str, type[Task]] = {
    "digits": Digits,
    "teacher": Teacher,
    "arithmetic": Arithmetic,
    "facts": Facts,
    "text": TextTask,
    "custom": Custom,
}
