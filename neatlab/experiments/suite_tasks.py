"""Which tasks a suite has: every setting of the task table, or for its quick form two of each family."""

from collections.abc import Sequence
from typing import NamedTuple

from neatlab.errors import BadInput, unknown
from neatlab.tasks import TASKS, TaskSpec

UNLISTED = "synthetic"  # its answer was made for one of the methods: it says nothing of which is better elsewhere
QUICK_SEEDS = 3


class Quick(NamedTuple):
    """The quick form of a family.

    Args:
        tasks: Its tasks.
        share: Of each one's steps.
    """

    tasks: tuple[str, ...] = ()
    share: float = 0.4


# Settings that LoRA and NEAT do not both solve wholly in so few steps: where each scores 1 there is nothing to compare.
QUICK = {
    "vision": Quick(("digits", "digits:per_class=10")),
    "arithmetic": Quick(("arithmetic", "arithmetic:samples=200")),
    "reasoning": Quick(("facts:wordings=1", "facts:asked=two-hop")),
    # A step on MiniLM takes fifteen times as long as the others: fewer of them, on texts cut to 24 tokens.
    "language": Quick(("banking77:max_length=24", "clinc150:max_length=24"), 0.25),
    UNLISTED: Quick(("teacher:kind=low-rank", "teacher:kind=weight-aware")),
}


class ListedTask(NamedTuple):
    """One setting of the table.

    Args:
        spec: The task.
        family: Its family.
    """

    spec: TaskSpec
    family: str


def listed(tasks: Sequence[str | TaskSpec] = (), families: Sequence[str] = (), quick: bool = False) -> list[ListedTask]:
    """The tasks of a suite, in the order of the table, of the quick form or as they are given.

    Args:
        tasks: These alone; those of the table by default.
        families: Only tasks of these families; of the table all but "synthetic" by default.
        quick: The quick form's in place of the table's.

    Raises:
        BadInput: An unknown task or family, a task twice, or nothing left.
    """
    table = [ListedTask(TaskSpec(name, one), row.family) for name, row in TASKS.items() for one in row.choices.values()]
    known = list(dict.fromkeys(one.family for one in table))
    for family in families:
        if family not in known:
            raise unknown("family", family, known)
    written = tasks or [text for family in QUICK.values() for text in family.tasks] * quick
    pool = [ListedTask(spec, spec.row.family or spec.name) for spec in map(TaskSpec.parse, written)] or table
    left = [one for one in pool if (one.family in families if families else tasks or one.family != UNLISTED)]
    if not left:
        raise BadInput(f"nothing to do: none of these tasks is of family {', '.join(families)}")
    if len({one.spec for one in left}) < len(left):
        raise BadInput(f"tasks {[str(one.spec) for one in left]}; give none twice")
    return left


def quick_steps(task: ListedTask) -> int:
    """Steps of a task in the quick form."""
    return max(1, round(QUICK.get(task.family, Quick()).share * task.spec.row.training["steps"]))
