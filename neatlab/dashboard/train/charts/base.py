"""What a live chart of the Train tab is, and what it is drawn from."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import pandas as pd

from neatlab import plots
from neatlab.dashboard.shared.live_plot import Chart
from neatlab.dashboard.train.snapshot import RunsSnapshot, ViewState
from neatlab.errors import StoreError
from neatlab.runs.run import Run
from neatlab.runs.weights import NUMBERS, StoredWeights, read_weights

OLDER = "{} stored no weights: it was trained by an older version."
DAMAGED = "The weights that {} stored are damaged."
NOTHING_YET = ""


def read_stored(run: Run) -> StoredWeights | str:
    """What a run stored of its weights, or why there is nothing."""
    try:
        return read_weights(run.path) or (OLDER if run.summary else NOTHING_YET)
    except StoreError:  # which names a path of the server
        return DAMAGED


@dataclass(frozen=True)
class Drawing:
    """What the charts of a window are drawn from.

    Args:
        runs: The runs.
        view: How to see them.
        read_spectra: Gives the table of the spectra, which only some charts need.
        read_weights: Gives what a run stored of its weights, or why there is nothing.
    """

    runs: RunsSnapshot
    view: ViewState
    read_spectra: Callable[[], pd.DataFrame]
    read_weights: Callable[[Run], StoredWeights | str] = read_stored

    @property
    def measured(self) -> tuple[str, int]:
        """Changes with every spectrum that is measured."""
        return self.runs.key, self.runs.size[1]

    @property
    def stored_weights(self) -> tuple[str, tuple[int, ...]]:
        """Changes with everything that is stored of the weights."""
        return self.runs.key, tuple(_size(run) for run in self.runs.runs)

    @cached_property
    def weights(self) -> list[StoredWeights | str]:
        """What each run stored of its weights, or why there is nothing."""
        return [self.read_weights(run) for run in self.runs.runs]

    @property
    def answered(self) -> int:
        """Changes with all answers that are kept."""
        return sum(event["type"] == "Predicted" for run in self.runs.runs for event in run.events)

    @property
    def layer(self) -> str | None:
        """The layer shown."""
        return self.runs.shown_layer(self.view.layer)

    @property
    def arm(self) -> str | None:
        """The arm of the heat map."""
        return self.runs.shown_arm(self.view.arm)

    @cached_property
    def spectra(self) -> pd.DataFrame:
        """The table of the spectra."""
        return self.read_spectra()

    def over_steps(self, figure: Any) -> Any:
        """All steps from the start on, so that the axis stays while the lines grow; the cursor where there is one."""
        figure.update_xaxes(range=[-0.03 * self.runs.total, 1.03 * self.runs.total])
        return figure if self.view.at is None else plots.mark_step(figure, self.view.at)


def _size(run: Run) -> int:
    try:
        return (run.path / NUMBERS).stat().st_size
    except OSError:
        return 0


class LiveChart(NamedTuple):
    """A row of CHARTS.

    Args:
        chart: Name, title, height and hint.
        depends: What the chart shows: it is drawn anew when this changes.
        draw: Gives its value, as `live_plot.shown` or `shown_html` makes it; None for an empty one. Plotly keeps the
            zoom while the figure's `uirevision` stays the same, so that other runs or another layer start unzoomed.
    """

    chart: Chart
    depends: Callable[[Drawing], Hashable]
    draw: Callable[[Drawing], str | None]
