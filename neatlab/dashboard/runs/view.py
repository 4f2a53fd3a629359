"""The selected runs: their curves over each other, and the settings in which they differ."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import pandas as pd

from neatlab import plots
from neatlab.dashboard.shared.html import hint, plural
from neatlab.dashboard.shared.links import write
from neatlab.dashboard.shared.listing import Chosen
from neatlab.dashboard.shared.live_plot import shown
from neatlab.errors import StoreError
from neatlab.runs.curves import read_points
from neatlab.runs.labels import AT, labels
from neatlab.runs.results import Results
from neatlab.runs.run import Run
from neatlab.runtime.numbers import DASH, number
from neatlab.runtime.templates import macros
from neatlab.tasks import Metric

_HTML = macros(__file__)
NOTHING = _HTML.nothing()
FRONT_SEEDS = 3  # of every arm: with fewer the next seed may turn the front round
COSTS = {"adapter_params": "adapter parameters", "seconds_per_step": "seconds a step", "saved_bytes": "memory"}


class Selection(Results):
    """Runs under the arms that the page groups them by: label, what else they differ in, and the learning rate."""

    def label(self, run: Run) -> str:
        return self._names[run.run_id]

    @cached_property
    def _names(self) -> dict[str, str]:
        return arm_names(self.runs)


def arm_names(runs: Sequence[Run]) -> dict[str, str]:
    """Run id → its arm among these runs; runs of one arm differ in the seed alone."""
    names = labels(runs)
    hidden = {run.run_id: {"lr": f"{run.config.training.lr:g}", "purpose": run.config.purpose} for run in runs}
    for name in ("lr", "purpose"):
        values: dict[str, set[str]] = {}
        for run_id, label in names.items():
            values.setdefault(label, set()).add(hidden[run_id][name])
        names = {i: _with(label, f"{name}={hidden[i][name]}", len(values[label]) > 1) for i, label in names.items()}
    return names


def _with(label: str, setting: str, varies: bool) -> str:
    if not varies:
        return label
    return f"{label},{setting}" if AT in label else f"{label}{AT}{setting}"


def readable_runs(runs: Sequence[Run]) -> Chosen:
    """The runs whose events can be read, and what is wrong with the others."""
    readable, problems = [], []
    for run in runs:
        try:
            read_points(run)
            readable.append(run)
        except StoreError as error:
            problems.append(str(error))
    return Chosen(readable, problems)


def curves(runs: Sequence[Run]) -> str | None:
    """The chart of runs of one task: mean and band over the seeds of each arm; None without runs."""
    if not runs:
        return None
    table, judged = Selection(runs).curves(), runs[0].config.spec.metric
    figure = plots.learning_curves(table, judged.name).update_layout(uirevision="-".join(r.run_id for r in runs))
    return shown(figure, _curve_words(table, judged, runs))


def quality_and_cost(runs: Sequence[Run], cost: str) -> str | None:
    """The chart of what the scores of runs of one task cost, a mark an arm; None where none has a score.

    Args:
        runs: The runs.
        cost: A key of COSTS; anything else is the first.
    """
    if not any(run.summary.get("metric") is not None for run in runs):
        return None
    table, judged = Selection(runs).frame(), runs[0].config.spec.metric
    at = cost if cost in COSTS else next(iter(COSTS))
    given: dict[str, Any] = {
        "cost": at,
        "name": judged.name,
        "higher_is_better": judged.higher_is_better,
        "min_seeds": FRONT_SEEDS,
    }
    data = plots.pareto_data(table, **given)
    if not data.arms:
        return None
    figure = plots.pareto(table, **given).update_layout(uirevision="-".join([at, *(r.run_id for r in runs)]))
    return shown(figure, _cost_words(data, judged))


def _cost_words(data: plots.ParetoData, judged: Metric) -> str:
    rows = list(zip(data.arms, data.costs, data.front, strict=True))
    arms = "; ".join(
        f"{entry.look.name}: {number(entry.score.mean, 4)} at {spent:,.4g} ({plural(entry.score.count, 'seed')})"
        for entry, spent, _ in rows
    )
    front = ", ".join(entry.look.name for entry, _, on in rows if on)
    said = (
        f"On the front, where no arm is as cheap and as good in the mean: {front}."
        if front
        else f"No front is drawn: that takes {FRONT_SEEDS} seeds of every arm."
    )
    better = "higher" if judged.higher_is_better else "lower"
    return f"{judged.name}, {better} is better, against {data.cost}: {arms}. Bars: 95 % intervals over seeds. {said}"


def _curve_words(table: pd.DataFrame, judged: Metric, runs: Sequence[Run]) -> str:
    lines = plots.metric_data(table).validation
    last = (
        f"{line.look.name}: {number(line.mean[-1], 4)} at step {line.x[-1]:.0f} ({plural(line.seeds, 'seed')})"
        for line in lines
    )
    better = "higher" if judged.higher_is_better else "lower"
    legend = "Markers: validation split, mean over seeds; band: lowest to highest seed; thin lines: training batches."
    if not lines:
        return f"None of the selected runs of {runs[0].config.spec.label} has been evaluated yet. {legend}"
    return (
        f"{runs[0].config.spec.label}: latest validation {judged.name}, {better} is better: {'; '.join(last)}. {legend}"
    )


def watching(runs: Sequence[Run]) -> str:
    """Where those of the selected runs that have not ended can be followed; empty where all have."""
    links = [(run.run_id, write({"tab": "train", "watch": run.run_id})) for run in runs if not run.summary]
    return _HTML.watching(links) if links else ""


def difference_table(runs: Sequence[Run]) -> str:
    """The settings in which the runs differ, a column a run."""
    if len(runs) < 2:
        return NOTHING
    settings = differences(runs)
    return _HTML.differences(runs, settings) if settings else hint("The selected runs differ in no setting.")


def differences(runs: Sequence[Run]) -> dict[str, list[str]]:
    """Setting → its value in each run, where they are not all the same."""
    settings = [_settings(run) for run in runs]
    names = dict.fromkeys(name for values in settings for name in values)
    table = {name: [_text(values.get(name)) for values in settings] for name in names}
    return {name: values for name, values in table.items() if len(set(values)) > 1}


def _settings(run: Run) -> Mapping[str, Any]:
    config, environment = run.config, run.environment
    packages = environment.get("packages")
    return {
        "task": config.task,
        **{f"task {name}": value for name, value in config.task_options.items()},
        "method": config.arm.method,
        **config.arm.options,
        **config.training.model_dump(),
        "seed": config.seed,
        "purpose": config.purpose,
        **{name: environment.get(name) for name in ("python", "platform", "device", "threads")},
        **(packages if isinstance(packages, dict) else {}),
    }


def _text(value: Any) -> str:
    if value is None:
        return DASH
    return f"{value:g}" if isinstance(value, float) else str(value)
