"""Arms trained on the same task, held against each other."""

import dataclasses
import math
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from itertools import combinations
from typing import Any, Literal

import pandas as pd

from neatlab.analysis.looks import Design
from neatlab.analysis.sentences import assumptions, headline
from neatlab.analysis.statistics import pareto_front
from neatlab.config import RunConfig
from neatlab.errors import unknown
from neatlab.runs import frames
from neatlab.runs.arms import ArmDifference, ArmResult, Over, arm_difference, arm_result, total_seconds
from neatlab.runs.frames import without_nan
from neatlab.runs.judging import Judge, Judged
from neatlab.runs.labels import family, is_arm, labels, setting, variant
from neatlab.runs.results import Results
from neatlab.runs.run import Run
from neatlab.runtime.numbers import or_nan
from neatlab.tasks import Metric

CURVATURE = ("sharpness", "suggested_lr")
COSTS = ("adapter_params", "seconds_per_step", "saved_bytes")
BASE = "base task, before → after"
MAX_ALL_PAIRS = 3  # arms that are compared each with each; more are compared with the reference
LOST = {"failed": "diverged", "pruned": "were stopped early, others being ahead on validation data,"}


class Comparison(Results):
    """Arms trained on the same task, seeds and budget, with intervals.

    Runs of several task options are arms of their own, "lora:rank=4 @ kind=low-rank", and are compared only with
    those of the same options.

    Args:
        runs: The runs reported on, every arm's seeds.
        search: The runs that chose the learning rates; their cost is part of the answer.
        reference: Label of the arm that the others are compared with where there are many; the first by default.
        margin: The largest difference that does not matter; None for the metric's own.
        over: What the verdict is to hold for: "examples" for new examples and new seeds, as far as the runs have kept
            their outcome per example; "seeds" for new seeds on these examples.
        design: After how many seeds one looks, if that is more than once.

    Raises:
        BadInput: No arm has the reference's label, a margin that is negative or not finite, or another `over`.

    Example:
        >>> import neatlab
        >>> result = neatlab.compare("teacher:d_in=16,d_out=16", ["lora:rank=2", "neat:rank=2"], seeds=2, steps=20)
        >>> [(difference.a, difference.b) for difference in result.differences()]
        [('lora:rank=2', 'neat:rank=2,depth=2')]
    """

    def __init__(
        self,
        runs: Sequence[Run],
        search: Sequence[Run] = (),
        reference: str | None = None,
        *,
        margin: float | None = None,
        over: Over = "examples",
        design: Design | None = None,
    ) -> None:
        super().__init__(runs)
        self.search = list(search)
        self._judging: dict[str, Any] = {"margin": margin, "over": over, "design": design}
        self._judge = Judge(self._by_arm, self.metric, **self._judging)
        self.references = [_reference(group, reference) for group in self._settings.values()]
        if reference is not None and not any(is_arm(label, reference) for label in self._by_arm):
            raise unknown("reference", reference, self._by_arm)

    @property
    def metric(self) -> Metric:
        """What the arms are judged by."""
        first = self.runs[0].config
        return first.spec.metric

    @property
    def margin(self) -> float:
        """The largest difference in it that does not matter."""
        return self._judge.margin

    @property
    def base_metric(self) -> Metric | None:
        """What tells how much of the base's own task is left; None where the task has none."""
        return self.runs[0].config.spec.row.base_metric

    @property
    def selects_by(self) -> Literal["metric", "loss"]:
        """What the search chose by on the validation split."""
        return self.runs[0].config.spec.row.selects_by

    def label(self, run: Run) -> str:
        """The run's arm, followed by the settings in which it differs from other runs here."""
        return self._labels[run.run_id]

    @cached_property
    def _labels(self) -> dict[str, str]:
        return labels(self.runs)

    def search_frame(self) -> pd.DataFrame:
        """One row a run of the search; `arm` leaves out what was searched for, `variant` only the learning rate.

        `sharpness` is the largest eigenvalue of the loss's Hessian over the adapter at the start, `suggested_lr` the
        learning rate that the curvature there suggests. Both are measured in the run at the default rate, for an arm's
        start is the same at every rate, and are NaN in the others.
        """
        frame = frames.frame(self.search, lambda run: family(run.config.arm))
        unmeasured = {name: math.nan for name in CURVATURE if name not in frame}
        return frame.assign(variant=[variant(run.config.arm) for run in self.search], **unmeasured)

    def arms(self) -> list[ArmResult]:
        """One entry an arm: what it was, what it cost, what it reached."""
        return [arm_result(label, runs, self._scores[label], self.metric) for label, runs in self._by_arm.items()]

    def pareto(self) -> dict[str, list[str]]:
        """Cost → the arms that no arm of the same settings beats in it and in the metric; less cost is better."""
        arms = {arm.arm: arm for arm in self.arms()}
        groups = [[arms[label] for label in group] for group in self._settings.values()]
        return {cost: [label for group in groups for label in self._front(group, cost)] for cost in COSTS}

    def differences(self) -> list[ArmDifference]:
        """Paired differences a − b by seed, their p-values corrected over all of them, and what may be said.

        Up to three arms are compared each with each; of more, every arm with the reference.
        """
        return [arm_difference(one.difference, self.metric, one.intervals, one.over) for one in self.judged]

    @cached_property
    def judged(self) -> list[Judged]:
        """The tests behind `differences`."""
        groups = zip(self._settings.values(), self.references, strict=True)
        return self.judge_pairs([pair for group, reference in groups for pair in _pairs(group, reference)])

    def judge_pairs(self, pairs: Sequence[tuple[str, str]]) -> list[Judged]:
        """Tests of these pairs of labels, corrected for all of them.

        Raises:
            BadInput: Arms of one pair that were tested on different examples.
        """
        return self._judge.judge(pairs)

    def worse_than_the_best(self) -> list[RunConfig]:
        """A run of each arm that is shown to be worse than the one with the best mean."""
        arms = [arm for arm in self.arms() if math.isfinite(arm.mean)]
        if len(arms) < 2:
            return []
        pick = max if self.metric.higher_is_better else min
        best = pick(arms, key=lambda arm: arm.mean).arm
        judged = self.judge_pairs([(arm.arm, best) for arm in arms if arm.arm != best])
        losers = [one.difference.pair.a for one in judged if one.difference.shown and one.difference.winner == best]
        return [self._first(label).config for label in losers]

    def verdict(self) -> list[str]:
        """One plain sentence a comparison, and one for each arm that lost runs."""
        scored = {label for label, scores in self._scores.items() if any(map(math.isfinite, scores.values()))}
        lost = [text for label, runs in self._by_arm.items() for text in _losses(label, runs)]
        return [entry.sentence for entry in self.differences() if {entry.a, entry.b} <= scored] + lost

    def headline(self) -> str:
        """What several comparisons say together, for someone who reads no further; empty for one or none."""
        return headline([one.difference for one in self.judged], self.metric.name)

    def assumptions(self) -> str:
        """What the verdict rests on, in one line; empty where nothing is compared."""
        return assumptions([one.difference for one in self.judged], [one.over for one in self.judged])

    def parts(self) -> dict[str, "Comparison"]:
        """Settings that differ, such as "kind=low-rank" → the comparison within them; {"": itself} without any."""
        if len(self._settings) == 1:
            return {"": self}
        names = dict(zip(self._settings, self.references, strict=True))
        return {
            name: Comparison(
                [run for run in self.runs if setting(self.label(run)) == name],
                [run for run in self.search if run.config.task_options == self._first(reference).config.task_options],
                self._first(reference).config.arm.label,
                **self._judging,
            )
            for name, reference in names.items()
        }

    def to_dict(self) -> dict[str, Any]:
        """The whole comparison as plain values, NaN as None."""
        metric, first = self.metric, self.runs[0].config
        return without_nan(
            {
                "task": first.task,
                "task_options": first.task_options,
                "metric": metric.name,
                "unit": metric.unit,
                "higher_is_better": metric.higher_is_better,
                "base_metric": self.base_metric and self.base_metric.name,
                "references": self.references,
                "arms": [dataclasses.asdict(arm) for arm in self.arms()],
                "differences": [dataclasses.asdict(difference) for difference in self.differences()],
                "pareto": self.pareto(),
                "verdict": self.verdict(),
                "headline": self.headline(),
                "assumptions": self.assumptions(),
                "search": {"runs": len(self.search), "seconds": total_seconds(self.search)},
            }
        )

    @cached_property
    def _by_arm(self) -> dict[str, list[Run]]:
        groups: dict[str, list[Run]] = {}
        for run in self.runs:
            groups.setdefault(self.label(run), []).append(run)
        return groups

    def _first(self, label: str) -> Run:
        return self._by_arm[label][0]

    @cached_property
    def _settings(self) -> dict[str, list[str]]:
        """Settings that differ → labels of the arms that were trained in them."""
        groups: dict[str, list[str]] = {}
        for label in self._by_arm:
            groups.setdefault(setting(label), []).append(label)
        return groups

    @cached_property
    def _scores(self) -> dict[str, dict[int, float]]:
        return {
            label: {run.config.seed: or_nan(run.summary.get("metric")) for run in runs}
            for label, runs in self._by_arm.items()
        }

    def _front(self, arms: list[ArmResult], cost: str) -> list[str]:
        scores, costs = [arm.mean for arm in arms], [arm.cost(cost) for arm in arms]
        flags = pareto_front(costs, scores, self.metric.higher_is_better)
        return [arm.arm for arm, flag in zip(arms, flags, strict=True) if flag]


def _reference(group: list[str], wanted: str | None) -> str:
    """The wanted arm among those of one setting; the first where it is not there."""
    return next((label for label in group if wanted is not None and is_arm(label, wanted)), group[0])


def _pairs(group: list[str], reference: str) -> list[tuple[str, str]]:
    if len(group) <= MAX_ALL_PAIRS:
        return list(combinations(group, 2))
    return [(label, reference) for label in group if label != reference]


def _losses(label: str, runs: list[Run]) -> list[str]:
    lost = Counter(run.status for run in runs if run.status != "finished")
    return [
        f"{count} of {len(runs)} runs of {label} {LOST.get(status, 'did not finish')} and are not in its mean."
        for status, count in lost.items()
    ]
