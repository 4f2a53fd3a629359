"""Arms trained on the same task, held against each other."""

import math
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from itertools import combinations
from typing import Any, Literal

import pandas as pd

from neatlab.analysis.crossed import Values
from neatlab.analysis.decisions import Decision, spoken
from neatlab.analysis.looks import Design
from neatlab.analysis.sentences import assumptions, headline
from neatlab.config import RunConfig
from neatlab.errors import unknown
from neatlab.runs import frames
from neatlab.runs.arms import ArmDifference, Over, arm_difference
from neatlab.runs.deciding import decisions, shown_worse
from neatlab.runs.document import document
from neatlab.runs.grouping import ArmRuns
from neatlab.runs.judging import Judge, Judged
from neatlab.runs.labels import is_arm, is_setting, setting
from neatlab.runs.run import Run

BASE = "base task, before → after"
MAX_ALL_PAIRS = 3  # arms that are compared each with each; more are compared with the reference
LOST = {"failed": "diverged", "pruned": "were stopped early, others being ahead on validation data,"}


class Comparison(ArmRuns):
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
    def margin(self) -> float:
        """The largest difference in it that does not matter."""
        return self._judge.margin

    @property
    def selects_by(self) -> Literal["metric", "loss"]:
        """What the search chose by on the validation split."""
        return self.runs[0].config.spec.row.selects_by

    def search_frame(self) -> pd.DataFrame:
        """One row a run of the search; `arm` leaves out what was searched for, `variant` only the learning rate.

        `sharpness` is the largest eigenvalue of the loss's Hessian over the adapter at the start, `suggested_lr` the
        rate that it suggests: measured at the default rate alone, for an arm's start is the same at every rate.
        """
        return frames.search_frame(self.search)

    def differences(self) -> list[ArmDifference]:
        """Paired differences a − b by seed, their p-values corrected over all of them, and what may be said.

        Up to three arms are compared each with each; of more, every arm with the reference.
        """
        return [arm_difference(one.difference, self.metric, one.intervals, one.over) for one in self.judged]

    @cached_property
    def judged(self) -> list[Judged]:
        """The tests behind `differences`."""
        return self.judge_pairs(self._tested)

    def base_differences(self) -> list[ArmDifference]:
        """The same differences in what is left of the base's own task; empty where it has none."""
        metric, judge = self.base_metric, self._base_judge
        if metric is None or judge is None:
            return []
        known = {label for label, runs in self._by_arm.items() if any("base_metric" in run.summary for run in runs)}
        judged = judge.judge([pair for pair in self._tested if known.issuperset(pair)])
        return [arm_difference(one.difference, metric, one.intervals, one.over) for one in judged]

    @property
    def _tested(self) -> list[tuple[str, str]]:
        groups = zip(self._settings.values(), self.references, strict=True)
        return [pair for group, reference in groups for pair in _pairs(group, reference)]

    @cached_property
    def _base_judge(self) -> Judge | None:
        """Judges what is left of the base, by its own metric and margin."""
        metric, settings = self.base_metric, {**self._judging, "margin": None, "score": "base_metric"}
        return None if metric is None else Judge(self._by_arm, metric, **settings)

    def judge_pairs(self, pairs: Sequence[tuple[str, str]]) -> list[Judged]:
        """Tests of these pairs of labels, corrected for all of them.

        Raises:
            BadInput: Arms of one pair that were tested on different examples.
        """
        return self._judge.judge(pairs)

    def contributions(self) -> dict[str, dict[int, Values]]:
        """Arm → seed → what each test example contributes to the metric, of arms whose runs have all kept it."""
        values = {label: self._judge.values(label) for label in self._by_arm}
        return {label: by_seed for label, by_seed in values.items() if by_seed is not None}

    def worse_than_the_best(self) -> list[RunConfig]:
        """A run of each arm that is shown to be worse than the one with the best mean."""
        return [self._first(label).config for label in shown_worse(self.arms(), self._judge)]

    def decisions(self) -> list[Decision]:
        """Which arm of each setting to take, and why; nothing for a setting with one arm.

        The rule is that of `neatlab.analysis.decisions`; each two arms are tested, corrected for all pairs.
        """
        return decisions(self.arms_by_setting(), self._judge, self._base_judge, self.references, self.judged)

    def decision(self) -> str:
        """Which arm to take, and why, or what is missing to say so: a sentence a setting; empty for a single arm."""
        return spoken(self.decisions())

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
        return {name: self._part(name, self._first(reference).config) for name, reference in names.items()}

    def _part(self, name: str, reference: RunConfig) -> "Comparison":
        runs = [run for run in self.runs if setting(self.label(run)) == name]
        search = [run for run in self.search if is_setting(run.config, reference)]
        return Comparison(runs, search, reference.arm.label, **self._judging)

    def to_dict(self) -> dict[str, Any]:
        """The whole comparison as plain values, NaN as None."""
        return document(self)


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
