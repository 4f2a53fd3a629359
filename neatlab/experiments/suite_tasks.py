"""Which tasks a suite has: every setting of the task table, or for its quick form two of each family."""

from collections.abc import Sequence
from typing import NamedTuple

from neatlab.errors import BadInput, unknown
from neatlab.tasks import TASKS, TaskSpec

UNLISTED = "synthetic"  # its answer was made for one of the methods: it says nothing of which is better elsewhere
# Of each family two of the cheapest settings on different data, as far as there are any.
QUICK = (
    *("digits", "digits:per_class=10"),
    *("banking77", "clinc150"),
    *("arithmetic", "arithmetic:operation=addition,number_base=8"),
    *("facts:facts=128", "facts:asked=two-hop"),
    *("teacher:kind=low-rank", "teacher:kind=weight-aware"),
)
QUICK_SHARE, QUICK_SEEDS = 0.4, 3  # of a task's steps; seeds


class ListedTask(NamedTuple):
    """One setting of the table.

    Args:
        spec: The task.
        family: Its family.
    """

    spec: TaskSpec
    family: str


def listed(tasks: Sequence[str | TaskSpec] = (), families: Sequence[str] = (), quick: bool = False) -> list[ListedTask]:
    """The tasks of a suite, in the order of the table.

    Args:
        tasks: These alone; those of the table by default.
        families: Only tasks of these families; of the table all but "synthetic" by default.
        quick: Of the table only the quick form's.

    Raises:
        BadInput: An unknown task or family, a task twice, or nothing left.
    """
    table = [ListedTask(TaskSpec(name, one), row.family) for name, row in TASKS.items() for one in row.choices.values()]
    known = list(dict.fromkeys(one.family for one in table))
    for family in families:
        if family not in known:
            raise unknown("family", family, known)
    given = [TaskSpec.parse(task) for task in tasks]
    pool = [ListedTask(spec, spec.row.family or spec.name) for spec in given] if given else _of_table(table, quick)
    wanted = list(families) or [family for family in known if given or family != UNLISTED] + ["custom"] * bool(given)
    left = [one for one in pool if one.family in wanted]
    if not left:
        raise BadInput(f"nothing to do: none of these tasks is of family {', '.join(families)}")
    if len({one.spec for one in left}) < len(left):
        raise BadInput(f"tasks {[str(one.spec) for one in left]}; give none twice")
    return left


def _of_table(table: list[ListedTask], quick: bool) -> list[ListedTask]:
    wanted = {TaskSpec.parse(text) for text in QUICK}
    return [one for one in table if one.spec in wanted] if quick else table


def quick_steps(spec: TaskSpec) -> int:
    """Steps of a task in the quick form."""
    return max(1, round(QUICK_SHARE * spec.row.training["steps"]))
