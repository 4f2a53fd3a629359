"""A suite as one self-contained page: what the tasks show together, by family, and each task's verdict."""

from collections.abc import Sequence

from markupsafe import Markup

from neatlab import plots
from neatlab.plots.looks import Look, looks
from neatlab.report.figures import Figure, section
from neatlab.report.markup import breakable, key, row, table
from neatlab.report.page import check_target, page, write_page
from neatlab.report.text import environment_of, repeat_with
from neatlab.runs.suite import ALL, OUTCOMES, ArmTally, SuiteGroup, SuiteResult, SuiteTask
from neatlab.runtime.files import PathLike
from neatlab.runtime.numbers import DASH, number, p_number
from neatlab.runtime.templates import macros

WORDS = {"better": "better", "as-good": "as good", "not-worse": "not worse", "undecided": "undecided", "worse": "worse"}
TALLY = ("arm", "mean rank", *OUTCOMES, "p of signed ranks, corrected", "adapter params", "s/step", "base left")
HOW_TO_READ = (
    "Mean over seeds on the test split, and what is shown against the reference: better, worse, as good (to within the "
    "metric's margin), not worse (the one with fewer parameters is not behind by the margin), undecided. Medians over "
    "tasks of parameters and time; what is left of the base is its own metric after the training, as a share of that "
    "before. Tasks of one family share their data or their base: they are no random sample of all tasks."
)


def write_suite(result: SuiteResult, path: PathLike, command: str) -> None:
    """Write a suite as one HTML page that asks for nothing outside itself.

    Args:
        result: What to report.
        path: The file; an old one is replaced.
        command: The command that repeats it, shown as it is.

    Raises:
        BadInput: The file cannot be written.
    """
    check_target(path)
    write_page(render_suite(result, command), path)


def render_suite(result: SuiteResult, command: str) -> str:
    """The page as text.

    Args:
        result: What to report.
        command: The command that repeats it.
    """
    drawn = [figure for group in reversed(result.groups) if (figure := _diagram(result, group))]
    runs = [run for task in result.tasks for run in task.comparison.runs]
    body = [
        groups_part(result),
        section("Mean ranks", looks(result.arms), drawn) if drawn else Markup(),
        tasks_part(result),
        repeat_with(command, environment_of(runs)),
    ]
    return page(f"{len(result.arms)} arms on {len(result.tasks)} tasks", body, drawn)


def groups_part(result: SuiteResult) -> Markup:
    """A table and sentences a group, that of all tasks first."""
    shown = looks(result.arms)
    return Markup().join(_group(group, shown) for group in reversed(result.groups))


def tasks_part(result: SuiteResult) -> Markup:
    """The table of the tasks, and a sentence a task."""
    html = macros(__file__)
    listed = html.tasks(_tasks(result), HOW_TO_READ) if result.tasks else Markup()
    return listed + html.verdict(result.verdict(), _assumptions(result))


def _assumptions(result: SuiteResult) -> str:
    return f"On {task.task}: {task.comparison.assumptions()}" if (task := next(iter(result.tasks), None)) else ""


def _diagram(result: SuiteResult, group: SuiteGroup) -> Figure | None:
    if not group.ranking.is_tested:
        return None
    family = None if group.name == ALL else group.name
    drawn = plots.critical_difference(result, group.ranking.arms, family)
    words = ranks_in_words(group)
    return Figure(f"ranks-{group.name}", f"Mean ranks, {group.name}", words, drawn, wide=group.name == ALL)


def ranks_in_words(group: SuiteGroup) -> str:
    """What a diagram of mean ranks says."""
    return f"{group.ranking.sentences()[0]} A bar joins arms whose ranks do not show a difference."


def _group(group: SuiteGroup, shown: dict[str, Look]) -> Markup:
    rows = [
        row(key(shown[tally.arm]) + breakable(tally.arm), _cells(tally), "" if tally.outcomes else "reference")
        for tally in group.arms
    ]
    tallied = table([WORDS.get(name, name) for name in TALLY], rows, f"Arms, {group.name}")
    return macros(__file__).group(group.name, len(group.tasks), tallied, group.sentences())


def _cells(tally: ArmTally) -> list[str]:
    counts = [str(tally.outcomes[name]) if tally.outcomes else DASH for name in OUTCOMES]
    left = f"{100 * tally.base_left:.0f} %" if tally.base_left == tally.base_left else DASH
    costs = [number(tally.adapter_params, 0), number(tally.seconds_per_step), left]
    return [number(tally.mean_rank, 2), *counts, p_number(tally.p_holm), *costs]


def _tasks(result: SuiteResult) -> Markup:
    rows = [row(breakable(task.task), _task_cells(task, result.arms)) for task in result.tasks]
    return table(("task", "family", "metric", *result.arms), rows, "Tasks")


def _task_cells(task: SuiteTask, arms: Sequence[str]) -> list[str]:
    return [task.family, task.comparison.metric.name, *(_score(task, arm) for arm in arms)]


def _score(task: SuiteTask, arm: str) -> str:
    if arm not in task.arms:
        return DASH
    outcome = WORDS[task.outcome(arm)] if arm in task.against else "reference"
    lost = "" if task.results[arm].is_whole else ", lost runs"
    return f"{number(task.results[arm].mean)} ({outcome}{lost})"
