"""Loss and metric over the training steps."""

from collections.abc import Sequence
from typing import NamedTuple

import plotly.graph_objects as go

from neatlab.plots.tables import Line, Source, lines, table
from neatlab.plots.theme import new_figure
from neatlab.plots.traces import Trace, line_traces, note_seeds, thin_line_traces

__all__ = ["CurveData", "learning_curves", "loss_curves", "loss_data", "metric_curves", "metric_data"]

STEP = "training step"
LOSS = "loss"
RATE = "rate"


class CurveData(NamedTuple):
    """One quantity over the steps, on the splits it was measured on.

    Args:
        name: What stands on the vertical axis.
        training: A line an arm on the training batches; empty where they have no such value.
        validation: A line an arm on the validation split.
    """

    name: str
    training: list[Line]
    validation: list[Line]


def loss_data(source: Source, arms: Sequence[str] | None = None) -> CurveData:
    """Training and validation loss of every arm.

    Args:
        source: `Results`, a `Comparison`, or their `curves()`.
        arms: Order of the arms; that of first appearance by default.
    """
    frame = table(source, "curves")
    return CurveData(LOSS, *(lines(frame[frame["split"] == s], "step", "loss", arms) for s in ("train", "validation")))


def metric_data(source: Source, name: str | None = None, arms: Sequence[str] | None = None) -> CurveData:
    """The task's metric of every arm on the validation split.

    Args:
        source: `Results`, a `Comparison`, or their `curves()`.
        name: The metric's name; a `Comparison` knows its own.
        arms: Order of the arms.
    """
    frame = table(source, "curves")
    known = name or getattr(getattr(source, "metric", None), "name", None) or "metric"
    return CurveData(known, [], lines(frame[frame["split"] == "validation"], "step", "metric", arms))


def loss_curves(source: Source, arms: Sequence[str] | None = None, dark: bool = False) -> go.Figure:
    """Loss over steps: training batches as a thin line, the validation split with markers.

    Args:
        source: `Results`, a `Comparison`, or their `curves()`.
        arms: Order of the arms.
        dark: For a dark page.

    Returns:
        The figure.
    """
    return _drawn([loss_data(source, arms)], dark)


def metric_curves(
    source: Source, name: str | None = None, arms: Sequence[str] | None = None, dark: bool = False
) -> go.Figure:
    """The task's metric on the validation split over steps.

    Args:
        source: `Results`, a `Comparison`, or their `curves()`.
        name: The metric's name; a `Comparison` knows its own.
        arms: Order of the arms.
        dark: For a dark page.

    Returns:
        The figure.
    """
    data = metric_data(source, name, arms)
    return _drawn([data], dark, names=[f"{data.name}, validation split"])


def learning_curves(
    source: Source, name: str | None = None, arms: Sequence[str] | None = None, dark: bool = False, rate: bool = False
) -> go.Figure:
    """Loss above, metric below, on one axis of steps.

    Args:
        source: `Results`, a `Comparison`, or their `curves()`.
        name: The metric's name; a `Comparison` knows its own.
        arms: Order of the arms.
        dark: For a dark page.
        rate: Whether the learning rate is drawn below them.

    Returns:
        The figure.
    """
    panels = [loss_data(source, arms), metric_data(source, name, arms)] + ([_rates(source, arms)] if rate else [])
    return _drawn(panels, dark, (0.42, 0.42, 0.16) if rate else (0.5, 0.5))


def _drawn(
    panels: Sequence[CurveData], dark: bool, heights: Sequence[float] = (1.0,), names: Sequence[str] = ()
) -> go.Figure:
    traces = [trace for row, panel in enumerate(panels, start=1) for trace in _traces(panel, row)]
    figure = new_figure([STEP, *(names or [panel.name for panel in panels])], heights, dark, traces)
    note_seeds(figure, panels[0].validation)
    return figure


def _traces(data: CurveData, row: int) -> list[Trace]:
    thin = thin_line_traces(data.training, f"step %{{x}}<br>training {data.name} %{{y:.4f}}", row)
    return thin + line_traces(data.validation, f"step %{{x}}<br>validation {data.name} %{{y:.4f}}", row, row == 1)


def _rates(source: Source, arms: Sequence[str] | None) -> CurveData:
    frame = table(source, "curves")
    return CurveData(RATE, lines(frame[frame["split"] == "train"], "step", "lr", arms), [])
