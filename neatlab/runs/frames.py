"""Runs as tidy pandas tables, built column by column."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from neatlab.events import ExamplesChosen, Predicted, SpectrumMeasured
from neatlab.runs.curves import COLUMNS, SPLITS, Points, read_events, read_points
from neatlab.runs.labels import family, variant
from neatlab.runs.run import Run
from neatlab.runtime.numbers import or_nan

CURVATURE = ("sharpness", "suggested_lr")
Label = Callable[[Run], str]

SPECTRUM_FIELDS = tuple(field.name for field in fields(SpectrumMeasured))
ANSWER_FIELDS = tuple(field.name for field in (*fields(Predicted), *fields(ExamplesChosen)))


def frame(runs: Sequence[Run], label: Label) -> pd.DataFrame:
    """One row a run, from configurations and summaries alone.

    Args:
        runs: The runs.
        label: A run's arm.
    """
    return pd.DataFrame([_row(run, label(run)) for run in runs])


def search_frame(search: Sequence[Run]) -> pd.DataFrame:
    """The runs of a search as `frame` has them, with the arm's variant and the curvature at its start.

    Args:
        search: The runs that chose learning rates.
    """
    table = frame(search, lambda run: family(run.config.arm))
    unmeasured = {name: math.nan for name in CURVATURE if name not in table}
    return table.assign(variant=[variant(run.config.arm) for run in search], **unmeasured)


def curves(runs: Sequence[Run], label: Label) -> pd.DataFrame:
    """One row a training step or evaluation; run, arm and split are categories.

    Args:
        runs: The runs.
        label: A run's arm.
    """
    points = [read_points(run) for run in runs]
    sizes = [len(curve) for curve in points]
    arms = [label(run) for run in runs]
    step, *others = _joined(points)
    values = {
        "run": _repeated([run.run_id for run in runs], sizes),
        "arm": _repeated(arms, sizes),
        "seed": np.repeat(np.array([run.config.seed for run in runs], dtype=np.int64), sizes),
        "step": step.astype(np.int64),
        "split": pd.Categorical.from_codes(_splits(points), pd.Index(SPLITS)),
        **dict(zip(COLUMNS[1:], others, strict=True)),
    }
    return pd.DataFrame(values)


def spectra(runs: Sequence[Run], label: Label) -> pd.DataFrame:
    """One row a layer and measured step.

    Args:
        runs: The runs.
        label: A run's arm.
    """
    rows = [
        {"run": run.run_id, "arm": arm, "seed": run.config.seed, **_spectrum(event)}
        for run in runs
        for arm in [label(run)]
        for event in read_events(run)
        if event["type"] == "SpectrumMeasured"
    ]
    return pd.DataFrame(rows, columns=["run", "arm", "seed", *SPECTRUM_FIELDS])


def answers(runs: Sequence[Run], label: Label) -> pd.DataFrame:
    """One row a step at which answers were kept; what the examples are stands in each.

    Args:
        runs: The runs; those that kept no answers have no row.
        label: A run's arm.
    """
    rows = [
        {"run": run.run_id, "arm": label(run), "seed": run.config.seed, **values}
        for run in runs
        for values in _answers(read_events(run))
    ]
    return pd.DataFrame(rows, columns=["run", "arm", "seed", *ANSWER_FIELDS])


def without_nan(value: Any) -> Any:
    """The value with None for every number that JSON has no name for."""
    if isinstance(value, dict):
        return {name: without_nan(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _row(run: Run, arm: str) -> dict[str, Any]:
    config = run.config
    results = {name: or_nan(value) for name, value in run.summary.items() if name not in ("status", "error")}
    return {
        "run": run.run_id,
        "arm": arm,
        "seed": config.seed,
        "task": config.task,
        "method": config.arm.method,
        "status": run.status,
        **config.arm.options,
        **{f"task_{name}": value for name, value in config.task_options.items()},
        "lr": config.training.lr,
        "steps": config.training.steps,
        "train_size": config.training.train_size,
        "purpose": config.purpose,
        **results,
        "tags": " ".join(run.notes.tags),
        "note": run.notes.note,
        "error": run.summary.get("error"),
        "created": run.environment.get("created"),
    }


def _answers(events: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    chosen = next((event for event in events if event["type"] == "ExamplesChosen"), None)
    if chosen is None:
        return []
    answered = ({**chosen, **event} for event in events if event["type"] == "Predicted")
    return [{name: event.get(name, ()) for name in ANSWER_FIELDS} for event in answered]


def _spectrum(event: dict[str, Any]) -> dict[str, Any]:
    return {
        name: event[name] if name in ("layer", "singular_values") else or_nan(event.get(name))
        for name in SPECTRUM_FIELDS
    }


def _joined(points: Sequence[Points]) -> NDArray[np.float64]:
    """One row a column of all runs' points."""
    return np.concatenate([np.empty((len(COLUMNS), 0)), *(curve.values for curve in points)], axis=1)


def _splits(points: Sequence[Points]) -> NDArray[np.int8]:
    return np.concatenate([np.empty(0, np.int8), *(curve.split for curve in points)])


def _repeated(names: Sequence[str], sizes: Sequence[int]) -> pd.Categorical[str]:
    """Each name as often as its run has points; the names in order of first appearance."""
    known = {name: code for code, name in enumerate(dict.fromkeys(names))}
    codes = np.repeat(np.array([known[name] for name in names], dtype=np.int32), sizes)
    return pd.Categorical.from_codes(codes, pd.Index(list(known)))
