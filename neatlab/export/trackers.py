"""Runs to TensorBoard and trackio, both optional extras: curves, ranks, configurations."""

import contextlib
import json
import math
import os
import re
import shutil
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from neatlab.errors import BadInput
from neatlab.runs.curves import read_events
from neatlab.runs.results import Results
from neatlab.runs.run import Run
from neatlab.runtime.files import PathLike


def to_tensorboard(results: Results, folder: PathLike) -> list[Path]:
    """Write every run as a TensorBoard log directory, `folder`/arm/seed-run.

    A run that has its directory there already is left as it is.

    Args:
        results: The runs.
        folder: The log directory; made where it is missing.

    Returns:
        The directories, one a run.

    Raises:
        BadInput: The extra is not installed, or the folder cannot be written.
        StoreError: A run's events are damaged.
    """
    module = _extra("torch.utils.tensorboard", "tensorboard")
    try:
        return [_write_log(module.SummaryWriter, results, run, Path(folder)) for run in results.runs]
    except OSError as error:
        raise BadInput(f"folder {os.fspath(folder)} cannot be written: {error.strerror or error}") from error


def to_trackio(results: Results, project: str) -> int:
    """Log every run to a trackio project, the arm as its group.

    Args:
        results: The runs.
        project: The project; give a new one, for trackio would keep a run logged twice as two.

    Returns:
        How many runs were logged.

    Raises:
        BadInput: The extra is not installed.
        StoreError: A run's events are damaged.
    """
    trackio = _extra("trackio", "trackio")
    for run in results.runs:
        name, config = f"{results.label(run)} seed {run.config.seed}", _config(run)
        logged = trackio.init(project=project, name=name, group=results.label(run), config=config, **_QUIET)
        for step, values in measurements(run):
            logged.log(values, step=step)
        logged.finish()
    return len(results.runs)


_QUIET = {"embed": False, "auto_log_cpu": False, "auto_log_gpu": False}  # this machine's load is not the run's


def measurements(run: Run) -> Iterator[tuple[int, dict[str, float]]]:
    """What a run measured: step, and values by names such as "validation/accuracy" and "effective_rank/<layer>".

    Args:
        run: Ended or not.

    Raises:
        StoreError: Its events are damaged.
    """
    metric = run.config.spec.metric.name.replace(" ", "_")
    for event in read_events(run):
        values = {name: value for name, value in _named(event, metric).items() if _is_number(value)}
        if values:
            yield event["step"], values


def _named(event: dict[str, Any], metric: str) -> dict[str, Any]:
    match event.get("type"):
        case "Step":
            return {f"train/{name}": event.get(name) for name in ("loss", "lr", "seconds")}
        case "Evaluated":
            split = event["split"]
            return {f"{split}/loss": event.get("loss"), f"{split}/{metric}": event.get("metric")}
        case "SpectrumMeasured":
            return {f"{name}/{event['layer']}": event.get(name) for name in ("effective_rank", "norm")}
    return {}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _write_log(writer: Any, results: Results, run: Run, folder: Path) -> Path:
    """Write beside, then rename: a directory that is there is whole."""
    path = folder / re.sub(r"[^\w.=-]+", "_", results.label(run)) / f"{run.config.seed}-{run.run_id}"
    if path.exists():
        return path
    temporary = path.with_name(f".{path.name}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    with contextlib.closing(writer(str(temporary))) as log:
        log.add_text("config", f"```json\n{json.dumps(_config(run), indent=2)}\n```")
        for step, values in measurements(run):
            for name, value in values.items():
                log.add_scalar(name, value, step)
    return temporary.rename(path)


def _config(run: Run) -> dict[str, Any]:
    return {"run": run.run_id, **run.config.model_dump(), "environment": run.environment}


def _extra(module: str, name: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise BadInput(f"{name} is not installed; get it with: pip install '.[{name}]' in neatlab's folder") from error
