"""Runs by arm: which count for one, in which settings they were trained, and what each arm cost and reached."""

from functools import cached_property

from neatlab.analysis.statistics import pareto_front
from neatlab.runs.arms import ArmResult, arm_result
from neatlab.runs.labels import labels, setting
from neatlab.runs.results import Results
from neatlab.runs.run import Run
from neatlab.runtime.numbers import or_nan
from neatlab.tasks import Metric

COSTS = ("adapter_params", "seconds_per_step", "saved_bytes")


class ArmRuns(Results):
    """Runs of one task, grouped by arm.

    Args:
        runs: The runs, in the order that the arms are to be shown.
    """

    @property
    def metric(self) -> Metric:
        """What the arms are judged by."""
        first = self.runs[0].config
        return first.spec.metric

    @property
    def base_metric(self) -> Metric | None:
        """What tells how much of the base's own task is left; None where the task has none."""
        return self.runs[0].config.spec.row.base_metric

    def label(self, run: Run) -> str:
        """The run's arm, followed by the settings in which it differs from other runs here."""
        return self._labels[run.run_id]

    @cached_property
    def _labels(self) -> dict[str, str]:
        return labels(self.runs)

    def arms(self) -> list[ArmResult]:
        """One entry an arm: what it was, what it cost, what it reached."""
        return [arm_result(label, runs, self._scores[label], self.metric) for label, runs in self._by_arm.items()]

    def pareto(self) -> dict[str, list[str]]:
        """Cost → the arms that no arm of the same settings beats in it and in the metric; less cost is better."""
        groups = self.arms_by_setting().values()
        return {cost: [label for group in groups for label in self._front(group, cost)] for cost in COSTS}

    def arms_by_setting(self) -> dict[str, list[ArmResult]]:
        """Setting, such as "kind=low-rank" → its arms; {"": all arms} where there is one setting alone."""
        arms = {arm.arm: arm for arm in self.arms()}
        return {name: [arms[label] for label in group] for name, group in self._settings.items()}

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
