"""TASKS: every task that a run can name, in the order in which the page offers them. One file a task, one row here."""

from neatlab.tasks.arithmetic import Arithmetic
from neatlab.tasks.banking77 import Banking77
from neatlab.tasks.base import Task
from neatlab.tasks.chat import Chat
from neatlab.tasks.clinc150 import Clinc150
from neatlab.tasks.custom.task import Custom
from neatlab.tasks.digits import Digits
from neatlab.tasks.facts import Facts
from neatlab.tasks.sentiment import Sentiment
from neatlab.tasks.teacher import Teacher
from neatlab.tasks.text import TextTask

TASKS: dict[str, type[Task]] = {
    "digits": Digits,
    "teacher": Teacher,
    "arithmetic": Arithmetic,
    "facts": Facts,
    "text": TextTask,
    "sentiment": Sentiment,
    "banking77": Banking77,
    "clinc150": Clinc150,
    "chat": Chat,
    "custom": Custom,
}
