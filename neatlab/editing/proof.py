"""What acts cost on a task: an adapter's score before and after, on the same test examples."""

import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from peft import PeftModel
from torch import nn

from neatlab.adapters.attach import quiet_peft, tuner_layers
from neatlab.analysis.statistics import LEVEL, NAN, Interval, mean_interval
from neatlab.analysis.verdicts import Pair, check_margin, judge
from neatlab.editing.sensitivity import LayerGradients
from neatlab.errors import BadInput
from neatlab.experiments.execute import one_thread
from neatlab.inspection.adapter_folder import read_adapter
from neatlab.runs.judging import contributions
from neatlab.runtime.environment import keep_random_state, pick_device, seed_random
from neatlab.runtime.numbers import number, signed, signed_interval
from neatlab.tasks import Task, TaskSpec
from neatlab.tasks.base import Score, Split
from neatlab.tasks.metrics import Metric

Verdict = Literal["better", "worse", "as good", "not worse", "undecided"]
BEFORE, AFTER = "before", "after"


@dataclass(frozen=True)
class Scores:
    """What an adapter reaches.

    Args:
        score: On the examples of a split.
        base: The base's metric on held-out examples of its own task; NaN where it has none.
    """

    score: Score
    base: float


@dataclass(frozen=True)
class Proof:
    """An adapter's score before and after acts.

    Args:
        task: The task.
        metric: Its metric's name.
        before: The metric on the test split before.
        after: The same after.
        low: Lower end of the 95 % interval of after − before, paired by example; NaN where the task keeps no outcome of
            each example, or no outcome differs.
        high: Its upper end.
        examples: Test examples with an outcome; 0 where the task keeps none.
        changed: Of these, how many have another outcome after.
        margin: The largest difference that does not matter.
        verdict: What may be said of the adapter after, for new examples of this one training.
        base_metric: Name of the base's metric; None where the task has none.
        base_before: The base's metric on its own task before: what the training left of it; NaN where there is none.
        base_after: The same after.
    """

    task: str
    metric: str
    before: float
    after: float
    low: float
    high: float
    examples: int
    changed: int
    margin: float
    verdict: Verdict
    base_metric: str | None
    base_before: float
    base_after: float

    @property
    def sentence(self) -> str:
        """Both scores, the verdict and what is left of the base's own task."""
        difference = signed(self.after - self.before)
        interval = f", 95 % interval {signed_interval(self.low, self.high)}" if math.isfinite(self.low) else ""
        on = f" on {self.examples:,} examples, of which {self.changed:,} changed" if self.examples else ""
        base = (
            f" {self.base_metric}: {number(self.base_before)} before, {number(self.base_after)} after."
            if self.base_metric
            else ""
        )
        return (
            f"{self.metric}: {number(self.before)} before, {number(self.after)} after ({difference}{interval}{on}): "
            f"{self.verdict} at a margin of {self.margin:g}.{base}"
        )


class Prover:
    """Scores adapters on one task.

    Args:
        spec: The task.
        margin: The largest difference that does not matter; the metric's own by default.

    Raises:
        BadInput: An option that the task does not have, or a margin that bounds nothing.
    """

    def __init__(self, spec: TaskSpec, margin: float | None = None) -> None:
        self.spec, self.metric = spec, spec.metric
        self.margin = self.metric.margin if margin is None else margin
        check_margin(self.margin)
        self._task: Task = spec.load()

    def scores(self, folder: Path, split: Split = "test") -> Scores:
        """What the adapter of a folder reaches.

        Args:
            folder: Where it lies.
            split: On which examples.

        Raises:
            BadInput: It does not fit the task's model, or holds no head where the task has one.
        """
        with one_thread():
            model = self._load(folder)
            score, base = self._task.score(model, split), self._task.base_score(model)
        return Scores(score, NAN if base is None else base)

    def gradients(self, folder: Path) -> LayerGradients:
        """How the loss on training examples changes with the weights, at the adapter of a folder.

        Raises:
            BadInput: As `scores`.
        """
        return LayerGradients(self._task, self._load(folder))

    def proof(self, before: Scores, after: Scores, is_smaller: bool) -> Proof:
        """The two held against each other.

        Args:
            before: Of the adapter as it was opened.
            after: Of the result.
            is_smaller: Whether the result has fewer parameters, so that it need only be not worse.
        """
        outcomes = before.score.outcomes, after.score.outcomes
        interval, examples, changed = Interval(NAN, NAN, NAN, 0), 0, 0
        if outcomes[0] is not None and outcomes[1] is not None:
            examples, changed = len(outcomes[0]), int((outcomes[0].predicted != outcomes[1].predicted).sum())
            interval = _difference(before.score, after.score, self.metric)
        return Proof(
            task=str(self.spec),
            metric=self.metric.name,
            before=before.score.metric,
            after=after.score.metric,
            low=interval.low if changed else NAN,
            high=interval.high if changed else NAN,
            examples=examples,
            changed=changed,
            margin=self.margin,
            verdict=self._verdict(interval, examples, changed, is_smaller),
            base_metric=self._task.base_metric.name if self._task.base_metric else None,
            base_before=before.base,
            base_after=after.base,
        )

    def _verdict(self, interval: Interval, examples: int, changed: int, is_smaller: bool) -> Verdict:
        """By the lab's tests; where no outcome differs, by how many of new examples still could."""
        if examples and not changed:
            return "as good" if 1 - LEVEL ** (1 / examples) <= self.margin else "undecided"
        pair = Pair(AFTER, BEFORE, interval, AFTER if is_smaller else None)
        (difference,) = judge([pair], self.margin, self.metric.higher_is_better)
        if difference.kind == "better":
            return "better" if difference.leader == AFTER else "worse"
        words: dict[str, Verdict] = {"as-good": "as good", "not-worse": "not worse"}
        return words.get(difference.kind, "undecided")

    def _load(self, folder: Path) -> nn.Module:
        adapter, device = read_adapter(folder), pick_device("auto")
        heads = [name for name in self._task.head if name not in (adapter.settings.get("modules_to_save") or ())]
        if heads:
            raise BadInput(
                f"{folder} holds no trained {heads[0]}, which the task {self.spec} needs; was it trained on it?"
            )
        with keep_random_state(device), quiet_peft(), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of tensors that are missing: looked at below
            seed_random(device, 0)
            model = self._task.base_model().to(device)
            try:
                wrapped: Any = PeftModel.from_pretrained(model, str(folder), torch_device=device).eval()
            except (ValueError, RuntimeError, KeyError) as error:
                reason = str(error).strip().splitlines()[-1].strip()
                raise BadInput(f"{folder} does not fit the task {self.spec}: {reason}") from error
        if misfits := sorted({name for name, _ in tuner_layers(wrapped)} ^ set(adapter.layers)):
            raise BadInput(f"{folder} does not fit the task {self.spec}: layer {misfits[0]} is in one of them only")
        return wrapped


def _difference(before: Score, after: Score, metric: Metric) -> Interval:
    """after − before over examples, each contributing its jackknife's pseudo-value to either score."""
    if before.outcomes is None or after.outcomes is None:
        return Interval(NAN, NAN, NAN, 0)
    differences = np.asarray(contributions(after.outcomes, metric)) - np.asarray(contributions(before.outcomes, metric))
    interval = mean_interval(differences)
    return interval.moved(after.metric - before.metric - interval.mean)
