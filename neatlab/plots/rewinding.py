"""The rewinding curve: the task's metric and the base's as all of ΔW is scaled back, or beyond."""

from typing import NamedTuple, Protocol

import pandas as pd
import plotly.graph_objects as go

from neatlab.plots.scaling import panels, scaling_data

__all__ = ["RewindingData", "rewinding", "rewinding_data"]

ALPHA = "α, with W₀ + α·ΔW"


class Rewound(Protocol):
    """Anything with the table of `neatlab.rewind`, and what it was chosen by."""

    @property
    def metric(self) -> str:
        """Name of the task's metric."""

    @property
    def base_metric(self) -> str | None:
        """Name of the base's metric; None where the task has none."""

    @property
    def best(self) -> float:
        """The α that is best on the validation split."""

    def frame(self) -> pd.DataFrame:
        """One row an α."""


class RewindingData(NamedTuple):
    """Metrics over α.

    Args:
        alphas: α, ascending; 0 is the base, 1 the model as it was trained.
        curves: What stands on a vertical axis → its values; the base's is left out where there is none.
        best: The α that is best on the validation split.
    """

    alphas: list[float]
    curves: dict[str, list[float]]
    best: float


def rewinding_data(source: Rewound) -> RewindingData:
    """What a factor on all of ΔW does to the task and to the base's task.

    Args:
        source: What `neatlab.rewind` returns.
    """
    frame = source.frame().rename(columns={"alpha": "factor"})
    factors, curves = scaling_data(frame, f"{source.metric}, validation split", source.base_metric)
    return RewindingData(factors, curves, source.best)


def rewinding(source: Rewound, dark: bool = False) -> go.Figure:
    """The task's metric on the validation split over α, below it the base's; a dashed line marks the best α.

    Args:
        source: What `neatlab.rewind` returns.
        dark: For a dark page.

    Returns:
        The figure.
    """
    data = rewinding_data(source)
    figure = panels(ALPHA, data.alphas, data.curves, data.best, dark)
    return figure.add_annotation(x=data.best, y=1, yref="paper", yanchor="bottom", text="best", showarrow=False)
