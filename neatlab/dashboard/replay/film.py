"""What the Train tab's charts show at each moment of a training, drawn once and for all."""

import gzip
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson

from neatlab.dashboard.replay.parts import shared_parts
from neatlab.dashboard.train.charts import CHARTS as TRAIN_CHARTS
from neatlab.dashboard.train.charts.base import Drawing, LiveChart, read_stored
from neatlab.dashboard.train.snapshot import RunsSnapshot, ViewState, steps_done
from neatlab.plots.looks import looks
from neatlab.runs.run import Run
from neatlab.runs.weights import StoredWeights

T = TypeVar("T")
Values = list[dict[str, Any] | None]  # of a chart, one a moment; None for an empty one
Stored = Mapping[str, StoredWeights | str]  # id of a run → what it stored of its weights, or why there is nothing

MAX_MOMENTS = 60
MEASURED = ("Evaluated", "SpectrumMeasured", "Predicted")
ROWS = {row.chart.name: row for row in TRAIN_CHARTS}
OF_LAYER = (ROWS["weights"], ROWS["spectrum"])
OF_ALL = (ROWS["learning"], ROWS["answers"])
CHARTS = tuple(
    row.chart._replace(term="", empty=empty)
    for row, empty in zip(
        (*OF_LAYER, *OF_ALL),
        ("No weights were stored.", "No spectrum was measured.", "Nothing was measured.", "No answers were kept."),
        strict=True,
    )
)
STATES = {
    "failed": "diverged at step {}",
    "pruned": "was stopped early, at step {}",
    "interrupted": "was stopped at step {}",
    "unfinished": "has not ended and is at step {}",
}


@dataclass(frozen=True)
class Film:
    """A training, moment by moment.

    Args:
        steps: The step of each moment.
        total: Steps of the training.
        shared: Chart → its values.
        layers: Layer → chart → its values.
    """

    steps: list[int]
    total: int
    shared: dict[str, Values]
    layers: dict[str, dict[str, Values]]

    def thinned(self) -> "Film":
        """The film with every second moment; the first and the last stay."""

        def thin(values: list[T]) -> list[T]:
            return [*values[:-1:2], values[-1]]

        layers = {name: {chart: thin(v) for chart, v in charts.items()} for name, charts in self.layers.items()}
        shared = {chart: thin(values) for chart, values in self.shared.items()}
        return Film(thin(self.steps), self.total, shared, layers)

    def packed(self) -> bytes:
        """All of it as JSON, packed with gzip, which browsers read."""
        layers = [{"name": name, "charts": charts} for name, charts in self.layers.items()]
        charts, parts = shared_parts({"shared": self.shared, "layers": layers})
        whole = {"steps": self.steps, "total": self.total, **charts, "parts": parts}
        return gzip.compress(orjson.dumps(whole), mtime=0)


def make_film(runs: RunsSnapshot, stored: Stored, layers: Sequence[str], on_moment: Callable[[int, int], None]) -> Film:
    """Draw every chart at every moment.

    Args:
        runs: One run an arm.
        stored: What they stored of their weights.
        layers: Those that are drawn.
        on_moment: Called with the moments drawn so far and all of them.
    """
    spectra, steps = runs.results.spectra(), moments(runs.runs, stored)
    shared: dict[str, Values] = {row.chart.name: [] for row in OF_ALL}
    of_layers: dict[str, dict[str, Values]] = {layer: {row.chart.name: [] for row in OF_LAYER} for layer in layers}

    def draw(rows: Iterable[LiveChart], into: dict[str, Values], at: int, layer: str | None = None) -> None:
        drawing = Drawing(runs, ViewState(layer, at), lambda: spectra, lambda run: stored[run.run_id])
        for row in rows:
            value = row.draw(drawing)
            into[row.chart.name].append(orjson.loads(value) if value else None)

    for count, at in enumerate(steps, start=1):
        draw(OF_ALL, shared, at)
        for layer, charts in of_layers.items():
            draw(OF_LAYER, charts, at, layer)
        on_moment(count, len(steps))
    for charts in of_layers.values():
        _steady(charts["spectrum"])
    return Film(steps, runs.total, shared, of_layers)


def _steady(values: Values) -> None:
    """Give a spectrum the same axes at every moment, those of the last: what moves is then the spectrum."""
    figures = [value["figure"] for value in values if value and value["figure"]["data"]]
    sizes = [y for figure in figures for trace in figure["data"] for y in trace["y"] if y is not None]
    for figure in figures:
        meta = figure["layout"]["meta"]
        meta["chosen"] = figures[-1]["layout"]["meta"]["chosen"]
        meta["axes"]["linear"]["yaxis"] |= {"range": [0, 1.05 * max(sizes)]}


def read_all(runs: Iterable[Run]) -> Stored:
    """What each run stored of its weights, or why there is nothing."""
    return {run.run_id: read_stored(run) for run in runs}


def moments(runs: Iterable[Run], stored: Stored) -> list[int]:
    """The steps at which anything was stored, MAX_MOMENTS of them at most; the first and the last are among them."""
    steps = {int(step) for one in stored.values() if isinstance(one, StoredWeights) for step in one.steps}
    steps |= {int(event["step"]) for run in runs for event in run.events if event["type"] in MEASURED}
    return evenly(sorted(steps), MAX_MOMENTS)


def evenly(values: Sequence[T], most: int) -> list[T]:
    """At most so many of the values, evenly from the first to the last."""
    if len(values) <= most:
        return list(values)
    return [values[round(i * (len(values) - 1) / (most - 1))] for i in range(most)]


def lacks(runs: RunsSnapshot, stored: Stored) -> list[str]:
    """What each arm lacks, a sentence each."""
    shown = looks(runs.arms)
    return [text for run in runs.runs for text in _lacks(shown[run.config.arm.label].name, run, stored[run.run_id])]


def _lacks(name: str, run: Run, stored: StoredWeights | str) -> list[str]:
    kinds = {event["type"] for event in run.events}
    texts = []
    if run.status in STATES:
        texts.append(f"{name} {STATES[run.status].format(steps_done(run))}: its charts end there.")
    if isinstance(stored, str):
        texts.append(stored.format(name) or f"{name} has stored no weights yet.")
    elif stored.note:
        texts.append(f"{name}: {stored.note}")
    if "Predicted" not in kinds:
        texts.append(f"{name} kept no answers to the examples.")
    if "SpectrumMeasured" not in kinds:
        texts.append(f"{name} has no spectrum: it changes no layer, or was never measured.")
    return texts
