"""Runs as tidy tables, and the comparison that is drawn from them."""

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import pandas as pd

from neatlab.analysis.statistics import Interval, mean_interval, paired_difference, sentence
from neatlab.store import Run
from neatlab.tasks import TASKS, Metric

NAN = float("nan")


class Results:
    """A set of runs as tables: `frame` a row a run, `curves` a row a measurement, `spectra` a row a layer and step.

    Args:
        runs: The runs, in the order they are to be shown.
    """

    def __init__(self, runs: Sequence[Run]) -> None:
        self.runs = list(runs)

    def frame(self) -> pd.DataFrame:
        """One row a run: identity, options, parameter counts, scores, cost; NaN where unknown."""
        return pd.DataFrame([_row(run) for run in self.runs])

    def curves(self) -> pd.DataFrame:
        """One row a training step or evaluation: run, arm, seed, step, split, loss, metric, lr, seconds."""
        rows = [_identity(run) | _curve_point(e) for run in self.runs for e in run.events if e["type"] in _CURVES]
        return pd.DataFrame(rows, columns=["run", "arm", "seed", "step", "split", "loss", "metric", "lr", "seconds"])

    def spectra(self) -> pd.DataFrame:
        """One row a layer and measured step: run, arm, seed, step, layer, singular_values and what sums them up."""
        rows = [_identity(run) | _spectrum(e) for run in self.runs for e in run.events if e["type"] == _SPECTRUM]
        return pd.DataFrame(rows, columns=["run", "arm", "seed", *_SPECTRUM_FIELDS])


_CURVES = {"Step", "Evaluated"}
_SPECTRUM = "SpectrumMeasured"
_SPECTRUM_FIELDS = [
    "step",
    "layer",
    "singular_values",
    "effective_rank",
    "stable_rank",
    "participation_ratio",
    "norm",
    "relative_norm",
]


def _identity(run: Run) -> dict[str, Any]:
    return {"run": run.run_id, "arm": run.config.arm.label, "seed": run.config.seed}


def _row(run: Run) -> dict[str, Any]:
    config, arm = run.config, run.config.arm
    results = {name: _number(value) for name, value in run.summary.items() if name not in ("status", "error")}
    return {
        **_identity(run),
        "task": config.task,
        "method": arm.method,
        "status": run.status,
        **arm.options,
        **{f"task_{name}": value for name, value in config.task_options.items()},
        "lr": config.training.lr,
        "steps": config.training.steps,
        "purpose": config.purpose,
        **results,
        "error": run.summary.get("error"),
        "created": run.environment.get("created"),
    }


def _curve_point(event: dict[str, Any]) -> dict[str, Any]:
    point = {name: event.get(name) for name in ("step", "loss", "metric", "lr", "seconds")}
    return {**point, "split": event.get("split", "train")}


def _spectrum(event: dict[str, Any]) -> dict[str, Any]:
    return {
        name: event[name] if name in ("layer", "singular_values") else _number(event[name]) for name in _SPECTRUM_FIELDS
    }


def _number(value: Any) -> Any:
    return NAN if value is None else value


class Comparison(Results):
    """Arms trained on the same task, seeds and budget, with intervals.

    Args:
        runs: The runs reported on, every arm's seeds.
        search: The runs that chose the learning rates; their cost is part of the answer.
    """

    def __init__(self, runs: Sequence[Run], search: Sequence[Run] = ()) -> None:
        super().__init__(runs)
        self.search = list(search)

    @property
    def metric(self) -> Metric:
        """What the arms are judged by."""
        return TASKS[self.runs[0].config.task].metric

    def arms(self) -> list[dict[str, Any]]:
        """One entry an arm: what it was, what it cost, what it reached."""
        return [self._arm(label, runs) for label, runs in self._by_arm().items()]

    def differences(self) -> list[dict[str, Any]]:
        """Paired differences a − b by seed for every pair of arms, and what may be said of them."""
        return [self._difference(a, b) for a, b in combinations(self._by_arm(), 2)]

    def verdict(self) -> list[str]:
        """One plain sentence a pair of arms, and one for each arm that lost runs."""
        return [entry["sentence"] for entry in self.differences()] + [
            f"{len(runs) - done} of {len(runs)} runs of {label} diverged and are not in its mean."
            for label, runs in self._by_arm().items()
            if (done := sum(run.status == "finished" for run in runs)) < len(runs)
        ]

    def to_dict(self) -> dict[str, Any]:
        """The whole comparison as plain values, NaN as None."""
        metric, first = self.metric, self.runs[0].config
        return _plain(
            {
                "task": first.task,
                "task_options": first.task_options,
                "metric": metric.name,
                "unit": metric.unit,
                "higher_is_better": metric.higher_is_better,
                "arms": self.arms(),
                "differences": self.differences(),
                "verdict": self.verdict(),
                "search": {"runs": len(self.search), "seconds": sum(r.summary["seconds"] for r in self.search)},
            }
        )

    def _by_arm(self) -> dict[str, list[Run]]:
        groups: dict[str, list[Run]] = {}
        for run in self.runs:
            groups.setdefault(run.config.arm.label, []).append(run)
        return groups

    def _scores(self, label: str) -> dict[int, float]:
        return {run.config.seed: _number(run.summary.get("metric")) for run in self._by_arm()[label]}

    def _arm(self, label: str, runs: list[Run]) -> dict[str, Any]:
        config, score = runs[0].config, mean_interval(list(self._scores(label).values()))
        return {
            "arm": label,
            "config": {"method": config.arm.method, **config.arm.options, **config.training.model_dump()},
            "adapter_params": runs[0].summary.get("adapter_params"),
            "trainable_params": runs[0].summary.get("trainable_params"),
            "metric": self.metric.name,
            "mean": score.mean,
            "ci95": [score.low, score.high],
            "seconds_per_step": _mean(runs, "seconds_per_step"),
            "effective_rank": _mean(runs, "effective_rank"),
            "runs": [
                {"run": run.run_id, "seed": run.config.seed, "status": run.status, "metric": run.summary.get("metric")}
                for run in runs
            ],
        }

    def _difference(self, a: str, b: str) -> dict[str, Any]:
        found: Interval = paired_difference(self._scores(a), self._scores(b))
        said = sentence(a, b, found, self.metric.name, self.metric.higher_is_better)
        return {"a": a, "b": b, "mean": found.mean, "ci95": [found.low, found.high], "sentence": said}


def _mean(runs: list[Run], name: str) -> float:
    return mean_interval([_number(run.summary.get(name)) for run in runs]).mean


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
