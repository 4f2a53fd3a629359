"""The charts in words, with the numbers that they show."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from neatlab.adapters.methods import METHODS
from neatlab.dashboard.shared.choices import PARTS
from neatlab.dashboard.shared.html import DASH, number
from neatlab.plots import QUANTITIES, LayerCurveData, LayerMapData, SpectrumData
from neatlab.runs.run import Run
from neatlab.tasks import Metric


def letter(place: int) -> str:
    """An arm's letter on the page."""
    return PARTS[place].upper()


def learning(arms: Sequence[str], runs: Sequence[Run], metric: Metric) -> str:
    """Latest loss and metric on the validation split."""
    latest = {run.config.arm.label: last(run, "validation") for run in runs}
    losses = {arm: event.get("loss") for arm, event in latest.items()}
    scores = {arm: event.get("metric") for arm, event in latest.items()}
    where = "Markers: validation split; thin lines: training batches; below, the adapter's learning rate."
    better = "higher" if metric.higher_is_better else "lower"
    return (
        f"Validation loss: {_each(arms, losses, 4)}. Validation {metric.name} ({better} is better): "
        f"{_each(arms, scores, 4)}. {where}"
    )


def layers(arms: Sequence[str], data: LayerCurveData, ranks: Mapping[str, Any]) -> str:
    """Latest value of each quantity."""
    digits = {"effective_rank": 2, "relative_norm": 3, "dead_units": 2}
    now = [
        f"{QUANTITIES[name]}: {_each(arms, {line.arm: _latest(line.mean) for line in found}, digits.get(name, 3))}"
        for name, found in data.curves.items()
    ]
    return f"Now {'; '.join(now) or DASH}. Rank set: {_each(arms, ranks, 0)}. No value while ΔW = 0."


def spectrum(arms: Sequence[str], data: SpectrumData) -> str:
    """Largest singular values, and the step that they are from."""
    if not data.spectra:
        return "No arm changes a layer's weight."
    largest = {line.arm: line.mean[0] for line in data.spectra}
    return f"{data.layer}, step {_each(arms, data.steps, 0)}. Largest singular value: {_each(arms, largest, 3)}."


def layer_map(data: LayerMapData, at: int | None) -> str:
    """The layers with the highest and the lowest effective rank."""
    column = next((i for i, step in reversed(list(enumerate(data.steps))) if at is None or step <= at), None)
    if column is None:
        return "Nothing measured yet."
    known = {
        name: row[column] for name, row in zip(data.layers, data.values, strict=True) if row[column] == row[column]
    }
    if not known:
        return f"{data.arm}, step {data.steps[column]}: ΔW = 0 in every layer, which has no effective rank."
    high, low = max(known, key=lambda n: known[n]), min(known, key=lambda n: known[n])
    return (
        f"{data.arm}, step {data.steps[column]}: highest effective rank {known[high]:.2f} in {high}, "
        f"lowest {known[low]:.2f} in {low}."
    )


def parameters(arms: Sequence[str], runs: Sequence[Run]) -> str:
    """Each arm's count with its formula and the layers' shapes put in."""
    return " ".join(_formula(arms.index(run.config.arm.label), run) for run in runs)


def _formula(place: int, run: Run) -> str:
    begun = next((event for event in run.events if event["type"] == "RunStarted"), None)
    if begun is None:
        return ""
    shapes = Counter(tuple(shape) for shape in begun["layers"].values())
    where = " and ".join(f"{count} of {d_out} × {d_in}" for (d_out, d_in), count in shapes.items())
    adapter, head = begun["adapter_params"], begun["trainable_params"] - begun["adapter_params"]
    told = ", ".join(
        f"{n} = {run.config.arm.options[o]}" for n, o in (("r", "rank"), ("L", "depth")) if o in run.config.arm.options
    )
    formula = f"{METHODS[run.config.arm.method].count} a layer" + (f", {told}" if told else "")
    return f"{letter(place)}: {formula}; layers (out × in): {where}: {adapter:,}; head {head:,}."


def last(run: Run, split: str) -> Mapping[str, Any]:
    """The latest evaluation on a split; empty before the first."""
    events = reversed(run.events)
    return next((event for event in events if event["type"] == "Evaluated" and event["split"] == split), {})


def _each(arms: Sequence[str], values: Mapping[str, Any], digits: int) -> str:
    """ "A 0.512, B 0.601"."""
    return ", ".join(f"{letter(place)} {number(values.get(arm), digits)}" for place, arm in enumerate(arms))


def _latest(values: Sequence[float]) -> float:
    return next((value for value in reversed(values) if value == value), math.nan)
