"""Arms on many tasks: a comparison a task, and what they say together, by family and over all."""

import dataclasses
import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from neatlab.analysis.ranks import Counted, Ranking, Scores, counted, ranking, signed_rank_p, smallest_p
from neatlab.analysis.statistics import LEVEL, NAN, holm
from neatlab.runs.arms import ArmDifference, ArmResult
from neatlab.runs.comparison import Comparison
from neatlab.runs.frames import without_nan

ALL = "all"  # the group of every task
OUTCOMES = ("better", "as-good", "not-worse", "undecided", "worse")  # of an arm against the reference on a task


@dataclass(frozen=True)
class SuiteTask:
    """One task of a suite.

    Args:
        task: The task as one writes it.
        family: Its family.
        arms: Arm as it was asked for → its label in the comparison, where it has its size and rate; an arm that the
            task cannot have is left out.
        comparison: Its runs.
    """

    task: str
    family: str
    arms: Mapping[str, str]
    comparison: Comparison

    @cached_property
    def results(self) -> dict[str, ArmResult]:
        """Arm as it was asked for → what it reached and cost."""
        by_label = {arm.arm: arm for arm in self.comparison.arms()}
        return {name: by_label[label] for name, label in self.arms.items()}

    @cached_property
    def against(self) -> dict[str, ArmDifference]:
        """Arm → its test against the reference, which is the first."""
        reference, *others = self.arms
        tests = {frozenset((one.a, one.b)): one for one in self.comparison.differences()}
        pairs = {name: frozenset((self.arms[name], self.arms[reference])) for name in others}
        return {name: tests[pair] for name, pair in pairs.items()}

    def outcome(self, arm: str) -> str:
        """What is shown of an arm against the reference, one of `OUTCOMES`."""
        one = self.against[arm]
        return "worse" if one.verdict == "better" and one.winner != self.arms[arm] else one.verdict

    def lead(self, arm: str) -> float:
        """By how many margins of the metric the arm is ahead of the reference: comparable between tasks."""
        one, metric = self.against[arm], self.comparison.metric
        ahead = one.mean if one.a == self.arms[arm] else -one.mean
        return (ahead if metric.higher_is_better else -ahead) / metric.margin

    def score(self, arm: str) -> float:
        """The arm's mean, signed so that higher is better; NaN where it has lost runs."""
        result = self.results[arm]
        sign = 1 if self.comparison.metric.higher_is_better else -1
        return sign * result.mean if result.is_whole else NAN


@dataclass(frozen=True)
class ArmTally:
    """One arm over the tasks of a group.

    Args:
        arm: The arm as it was asked for.
        tasks: On how many of them it was trained.
        mean_rank: Over the tasks that count for ranks; NaN where it has none.
        outcomes: Outcome against the reference, of `OUTCOMES` → on how many tasks; empty for the reference.
        p: Of Wilcoxon's signed-rank test of its leads over the reference; NaN where there are none.
        p_holm: The same, corrected for all arms of the group.
        adapter_params: Median over tasks.
        seconds_per_step: Median over tasks.
        base_left: Mean over tasks of the base's own metric after the training as a share of that before.
    """

    arm: str
    tasks: int
    mean_rank: float
    outcomes: Mapping[str, int]
    p: float
    p_holm: float
    adapter_params: float
    seconds_per_step: float
    base_left: float


@dataclass(frozen=True)
class SuiteGroup:
    """A family, or every task.

    Args:
        name: The family, or "all".
        tasks: Its tasks.
        counted: Which arms and tasks are ranked.
        ranking: Of these.
        arms: Every arm that was trained on one of the tasks.
    """

    name: str
    tasks: tuple[str, ...]
    counted: Counted
    ranking: Ranking
    arms: tuple[ArmTally, ...]

    def sentences(self) -> list[str]:
        """What may be said of the group, and on what it rests."""
        absent = [f"{arm} is not ranked: {_named(tasks)} cannot have it." for arm, tasks in self.counted.absent.items()]
        lost = [f"{task} does not count: {', '.join(arms)} lost runs." for task, arms in self.counted.unscored.items()]
        return [*self.ranking.sentences(), *self._signed_ranks(), *absent, *lost]

    def _signed_ranks(self) -> list[str]:
        others = [tally for tally in self.arms if tally.outcomes]
        least = smallest_p(max((tally.tasks for tally in others), default=0)) * len(others)
        if not others or least > LEVEL:
            few = "Too few tasks for Wilcoxon's signed-rank test against the reference to show anything"
            return [f"{few}: its smallest corrected p would be {min(least, 1):.2g}."] if others else []
        shown = [f"{tally.arm} (p = {tally.p_holm:.2g})" for tally in others if tally.p_holm <= LEVEL]
        differ = f"a difference to the reference for {', '.join(shown)}" if shown else "no difference to the reference"
        return [f"Wilcoxon's signed-rank test over tasks, corrected for {len(others)} arms, shows {differ}."]


class SuiteResult:
    """A suite's comparisons, and what they say together.

    Args:
        arms: The arms as they were asked for, the reference first.
        tasks: The tasks that were trained.
        lost: Task → why it has no comparison.

    Example:
        >>> import neatlab
        >>> small = {"lr": None, "match": None, "seeds": 2, "training": {"steps": 20}}
        >>> result = neatlab.suite(["teacher:d_in=16,d_out=16"], ["lora:rank=2", "neat:rank=2"], **small)
        >>> result.frame()["arm"].tolist()
        ['lora:rank=2', 'neat:rank=2']
    """

    def __init__(self, arms: Sequence[str], tasks: Sequence[SuiteTask], lost: Mapping[str, str] | None = None) -> None:
        self.arms, self.tasks, self.lost = tuple(arms), tuple(tasks), dict(lost or {})

    @property
    def reference(self) -> str:
        """The arm that the others are held against."""
        return self.arms[0]

    @cached_property
    def groups(self) -> tuple[SuiteGroup, ...]:
        """A group a family, and of several families one of all tasks."""
        families = list(dict.fromkeys(task.family for task in self.tasks))
        groups = [self._group(family, [t for t in self.tasks if t.family == family]) for family in families]
        return (*groups, self._group(ALL, self.tasks)) if len(families) > 1 else tuple(groups)

    def frame(self) -> pd.DataFrame:
        """One row a task and arm: task, family, arm, label, metric, mean, score, outcome.

        `score` is the mean, signed so that higher is better, NaN for an arm that lost runs; `outcome` is that against
        the reference, empty for the reference itself.
        """
        return pd.DataFrame([row for task in self.tasks for row in _rows(task)])

    def verdict(self) -> list[str]:
        """A sentence a task: which arm to take there, and why, or what is missing to say so."""
        said = [f"{task.task}: {task.comparison.decision() or 'one arm, nothing to compare.'}" for task in self.tasks]
        return said + [f"{task}: no comparison, {reason}" for task, reason in self.lost.items()]

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values, NaN as None; each task with its whole comparison."""
        tasks = [{"task": task.task, "family": task.family, "arms": dict(task.arms)} for task in self.tasks]
        outcomes = [{"outcomes": {arm: task.outcome(arm) for arm in task.against}} for task in self.tasks]
        documents = [{"comparison": task.comparison.to_dict()} for task in self.tasks]
        return without_nan(
            {
                "arms": self.arms,
                "reference": self.reference,
                "tasks": [a | b | c for a, b, c in zip(tasks, outcomes, documents, strict=True)],
                "groups": [_group_document(group) for group in self.groups],
                "verdict": self.verdict(),
                "lost": self.lost,
            }
        )

    def _group(self, name: str, tasks: Sequence[SuiteTask]) -> SuiteGroup:
        scores: Scores = {task.task: {arm: task.score(arm) for arm in task.arms} for task in tasks}
        arms = [arm for arm in self.arms if any(arm in task.arms for task in tasks)]
        order, others = ranking(scores, arms), [arm for arm in arms if arm != self.reference]
        p_values = {arm: signed_rank_p([task.lead(arm) for task in tasks if arm in task.arms]) for arm in others}
        corrected = dict(zip(p_values, holm([*p_values.values()]), strict=True))
        ranks = dict(zip(order.arms, order.mean_ranks, strict=True))
        tallies = [
            _tally(arm, tasks, ranks.get(arm, NAN), (p_values.get(arm, NAN), corrected.get(arm, NAN))) for arm in arms
        ]
        return SuiteGroup(name, tuple(scores), counted(scores, arms), order, tuple(tallies))


def _tally(arm: str, tasks: Sequence[SuiteTask], mean_rank: float, p_values: tuple[float, float]) -> ArmTally:
    own = [task for task in tasks if arm in task.arms]
    results = [task.results[arm] for task in own]
    outcomes = Counter(task.outcome(arm) for task in own if arm in task.against)
    shares = [result.base_metric / result.base_metric_before for result in results if result.base_metric_before > 0]
    return ArmTally(
        arm=arm,
        tasks=len(own),
        mean_rank=mean_rank,
        outcomes={name: outcomes[name] for name in OUTCOMES} if outcomes else {},
        p=p_values[0],
        p_holm=p_values[1],
        adapter_params=_median(result.cost("adapter_params") for result in results),
        seconds_per_step=_median(result.cost("seconds_per_step") for result in results),
        base_left=statistics.fmean(known) if (known := [*filter(math.isfinite, shares)]) else NAN,
    )


def _median(values: Iterable[float]) -> float:
    known = [value for value in values if math.isfinite(value)]
    return statistics.median(known) if known else NAN


def _rows(task: SuiteTask) -> list[dict[str, Any]]:
    shared = {"task": task.task, "family": task.family}
    return [
        {
            **shared,
            "arm": arm,
            "label": result.arm,
            "metric": result.metric,
            "mean": result.mean,
            "score": task.score(arm),
            "outcome": task.outcome(arm) if arm in task.against else "",
        }
        for arm, result in task.results.items()
    ]


def _group_document(group: SuiteGroup) -> dict[str, Any]:
    order = group.ranking
    return {
        "group": group.name,
        "tasks": group.tasks,
        "ranked_tasks": order.tasks,
        "ranked_arms": order.arms,
        "friedman": order.friedman._asdict(),
        "critical_difference": order.critical_difference,
        "alike": order.alike,
        "arms": [dataclasses.asdict(tally) for tally in group.arms],
        "sentences": group.sentences(),
    }


def _named(names: Sequence[str]) -> str:
    """Tasks as a list of words; how many where these are too many to read."""
    return ", ".join(names) if len(names) < 4 else f"{len(names)} tasks"
