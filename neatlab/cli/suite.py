"""`neatlab suite`: the same arms on a table of tasks."""

import argparse
import shlex
import sys
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from tqdm import tqdm

from neatlab.cli.columns import aligned
from neatlab.cli.commands import check_report, print_json, training_settings
from neatlab.errors import NeatlabError
from neatlab.runtime.numbers import DASH, duration, number, p_number

if TYPE_CHECKING:
    from neatlab.config import RunConfig
    from neatlab.events import Event
    from neatlab.experiments.suite_request import SuiteEstimate, SuiteProgress
    from neatlab.runs.suite import ArmTally, SuiteGroup, SuiteResult, SuiteTask

ABOUT = """
Every task that `neatlab data` lists, the family synthetic aside, with the same arms on each: sized alike on every task
(--match), each at its own learning rate (--lr auto), on as many seeds as decide it (--seeds auto). The cheapest task is
trained first, and the same command goes on where it was stopped. It ends with a verdict a task and, by family and over
all, mean ranks with Friedman's and Nemenyi's tests, how often each arm was better than the first one or as good, and
Wilcoxon's signed-rank test over tasks.
"""
MARKS = {"better": "+", "as-good": "=", "not-worse": "≥", "undecided": "?", "worse": "−", "": ""}
LEGEND = (
    "Against {reference}: + better, = as good, ≥ the one with fewer parameters is not worse, ? undecided, − worse; "
    "* lost runs, so the task does not count for ranks."
)
TALLY = ("mean rank", "better", "as good", "not worse", "undecided", "worse", "p (signed ranks)")
COSTS = ("adapter params", "s/step", "base left")


def add_suite(
    subparsers: Any,
    add_cluster: Callable[[argparse.ArgumentParser], None],
    add_fairness: Callable[[argparse.ArgumentParser, int | None, str], None],
    add_shared: Callable[[argparse.ArgumentParser], None],
) -> None:
    """Add the command `suite`.

    Args:
        subparsers: Of the program.
        add_cluster: Adds where and how much to train.
        add_fairness: Adds seeds, sizes and rates, with the default of the seeds and how it is called.
        add_shared: Adds the options that every command has.
    """
    parser = subparsers.add_parser("suite", help="the same arms on the whole table of tasks", description=ABOUT)
    parser.add_argument("--family", action="append", default=[], dest="families", help="only this family of tasks")
    parser.add_argument("--task", action="append", default=[], dest="tasks", help="these tasks alone: digits, facts, …")
    parser.add_argument("--quick", action="store_true", help="two tasks a family, fewer steps, three seeds")
    parser.add_argument("--arm", action="append", dest="arms", help="arms in place of the six; the first: reference")
    add_cluster(parser)
    add_fairness(parser, None, "auto; with --quick 3")
    add_shared(parser)
    parser.set_defaults(run=suite, match="params", lr="auto")


def suite(arguments: argparse.Namespace) -> None:
    """Train the arms on each task and say what the tasks show."""
    from neatlab.experiments.suite_request import ARMS, Suite

    check_report(arguments)
    names = ("families", "quick", "seeds", "match", "lr", "runs", "margin", "over", "max_seeds", "budget", "yes")
    settings = {name: getattr(arguments, name) for name in names}
    training = {**training_settings(arguments), "steps": arguments.steps}
    request = Suite(arguments.tasks, arguments.arms or ARMS, training=training, **settings)
    if arguments.dry_run:
        _print_estimate(request.estimate(arguments.workers), arguments.json)
        return
    with SuiteProgressBar() as bar:
        cluster = {"workers": arguments.workers, "scheduler": arguments.scheduler}
        result = request.run(**cluster, on_start=bar.start, on_event=bar, on_task=bar.task)
    _answer(result, arguments)
    if result.lost:
        raise NeatlabError(f"runs of {len(result.lost)} task(s) were lost; the same command goes on from there")


def _answer(result: "SuiteResult", arguments: argparse.Namespace) -> None:
    if arguments.report:
        from neatlab.report.suite import write_suite

        write_suite(result, arguments.report, shlex.join(["neatlab", *arguments.words]))
    if arguments.json:
        print_json(result.to_dict())
        return
    print(suite_text(result))


def _print_estimate(estimate: "SuiteEstimate", as_json: bool) -> None:
    if as_json:
        print_json(vars(estimate))
        return
    print(_estimate_text(estimate))


def _estimate_text(estimate: "SuiteEstimate") -> str:
    """How much there is to do, in a line."""
    most = f", at most {estimate.most:,}" if estimate.most > estimate.runs else ""
    tasks = f"{estimate.tasks} task{'s' * (estimate.tasks > 1)}"
    runs = f"{tasks}, {estimate.runs:,} runs{most}, {estimate.finished:,} of them there already"
    return f"{runs}; about {duration(estimate.seconds)}"


class SuiteProgressBar:
    """One bar for all runs of a suite on standard error, and a line for each task that is done."""

    def __init__(self) -> None:
        self._bar = tqdm(unit="run", leave=False, disable=True)

    def start(self, estimate: "SuiteEstimate") -> None:
        """Say what there is to do."""
        print(f"neatlab: {_estimate_text(estimate)}", file=sys.stderr)
        todo = estimate.runs - estimate.finished
        self._bar = tqdm(total=todo, unit="run", desc=f"0/{estimate.tasks} tasks", leave=False, disable=not todo)

    def __call__(self, config: "RunConfig", event: "Event") -> None:
        """Count one event."""
        from neatlab.events import RunFailed, RunFinished

        if isinstance(event, RunFinished | RunFailed):
            self._bar.total = max(int(self._bar.total or 0), int(self._bar.n) + 1)
            self._bar.set_postfix_str(config.spec.label, refresh=False)
            self._bar.update()

    def task(self, progress: "SuiteProgress") -> None:
        """Say what one task shows."""
        done, latest = f"{progress.done}/{progress.tasks} tasks", progress.latest
        self._bar.set_description(done)
        if not self._bar.disable:
            said = f"{latest.task}: {latest.comparison.decision()}" if latest else "runs were lost"
            left = f"about {duration(progress.seconds)} left" if progress.seconds else ""
            tqdm.write(file=sys.stderr, s=f"neatlab: {'; '.join(filter(None, [done, said, left]))}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bar.close()


def suite_text(result: "SuiteResult") -> str:
    """A table of tasks, a sentence a task, and a table and sentences a group."""
    legend = LEGEND.format(reference=result.reference)
    tasks = f"{_task_table(result)}\n{legend}" if result.tasks else ""
    groups = map(_group_text, result.groups)
    return "\n\n".join(filter(None, [tasks, "\n".join(result.verdict()), *groups]))


def _task_table(result: "SuiteResult") -> str:
    head = ["task", "family", "metric", "seeds", *result.arms]
    return aligned([head, *(_task_row(task, result.arms) for task in result.tasks)])


def _task_row(task: "SuiteTask", arms: Sequence[str]) -> list[str]:
    seeds = max(arm.finished for arm in task.results.values())
    cells = [_score(task, arm) if arm in task.arms else DASH for arm in arms]
    return [task.task, task.family, task.comparison.metric.name, str(seeds), *cells]


def _score(task: "SuiteTask", arm: str) -> str:
    result, mark = task.results[arm], MARKS[task.outcome(arm) if arm in task.against else ""]
    return " ".join(filter(None, [number(result.mean), mark, "*" * (not result.is_whole)]))


def _group_text(group: "SuiteGroup") -> str:
    head = [f"{group.name}: {len(group.tasks)} tasks", *TALLY, *COSTS]
    return "\n".join([aligned([head, *map(_tally_row, group.arms)]), *group.sentences()])


def _tally_row(tally: "ArmTally") -> list[str]:
    counts = [str(count) for count in tally.outcomes.values()] or ["", "", "reference", "", ""]
    left = f"{100 * tally.base_left:.0f} %" if tally.base_left == tally.base_left else DASH
    costs = [number(tally.adapter_params, 0), number(tally.seconds_per_step), left]
    return [tally.arm, number(tally.mean_rank, 2), *counts, p_number(tally.p_holm), *costs]
