"""The Train tab's live charts: a chart is one file here and one row of CHARTS."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, TypeVar

import pandas as pd

from neatlab.dashboard.train.charts import (
    answers,
    layer_map,
    layers,
    learning,
    other_layers,
    parameters,
    spectrum,
    weights,
)
from neatlab.dashboard.train.charts.base import Drawing, LiveChart
from neatlab.dashboard.train.snapshot import RunsSnapshot, ViewState

T = TypeVar("T")
Charts = Mapping[str, str | None]  # name → value of a live chart; None for an empty one

CHARTS: tuple[LiveChart, ...] = (
    weights.CHART,
    spectrum.CHART,
    learning.CHART,
    answers.CHART,
    layers.CHART,
    layer_map.CHART,
    parameters.CHART,
)
OTHERS = "others"  # no chart: what the charts of a layer would show of the other layers
TABLE = {row.chart.name: (row.depends, row.draw) for row in CHARTS} | {
    OTHERS: (other_layers.depends, other_layers.draw)
}
EMPTY: Charts = dict.fromkeys(TABLE)


class ChartCache:
    """The charts of one window; each is drawn anew only when something that it shows has changed."""

    def __init__(self) -> None:
        self._cached: dict[str, tuple[Hashable, Any]] = {}

    def charts(self, runs: RunsSnapshot, view: ViewState, names: Sequence[str] = tuple(TABLE)) -> Charts:
        """Draw what has changed.

        Args:
            runs: The runs.
            view: How to see them.
            names: The charts asked for; the others are None.

        Returns:
            Name → value.
        """

        def spectra() -> pd.DataFrame:
            return self._fresh("spectra", drawing.measured, runs.results.spectra)

        drawing = Drawing(runs, view, spectra)
        return {**EMPTY, **{name: self._draw(name, drawing) for name in names}}

    def _draw(self, name: str, drawing: Drawing) -> str | None:
        depends, draw = TABLE[name]
        return self._fresh(name, depends(drawing), lambda: draw(drawing))

    def _fresh(self, name: str, key: Hashable, make: Callable[[], T]) -> T:
        """What `make` gives, from before where the key was the same."""
        cached = self._cached.get(name)
        if cached is None or cached[0] != key:
            cached = self._cached[name] = (key, make())
        value: T = cached[1]
        return value
