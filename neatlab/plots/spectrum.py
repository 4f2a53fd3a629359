"""Singular values of ΔW, and the effective rank that sums them up."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from neatlab.errors import unknown
from neatlab.plots.looks import faded
from neatlab.plots.tables import Line, Source, differ_hundredfold, lines, table
from neatlab.plots.theme import QUIET, new_figure
from neatlab.plots.traces import Trace, line_traces, note_seeds

__all__ = ["EffectiveRankData", "SpectrumData", "effective_rank", "effective_rank_data", "spectrum", "spectrum_data"]

INDEX = "index i"
SIGMA = "singular value σᵢ of ΔW"
NORMALISED = "σᵢ/σ₁ of ΔW"
MANY = 16  # values, beyond which the axes are logarithmic
GOAL = "ΔW*, to be learnt"
TRAIL = {"type": "scatter", "mode": "lines", "showlegend": False, "hoverinfo": "skip"}
FLOOR = 1e-7  # of the largest: below it there is only float32's rounding, which would stretch a logarithmic axis
EFFECTIVE_RANK = "effective rank exp(−Σ p ln p)"


class SpectrumData(NamedTuple):
    """Singular values of one layer's ΔW.

    Args:
        layer: The layer's name; empty where nothing was measured.
        steps: Arm → the step that its values are from.
        spectra: σᵢ over i, a line an arm.
    """

    layer: str
    steps: dict[str, int]
    spectra: list[Line]

    @property
    def longest(self) -> int:
        """The most values that an arm has."""
        return max((len(line.x) for line in self.spectra), default=1)

    @property
    def suits_log(self) -> bool:
        """Whether logarithmic axes are the more readable ones: many values, or arms of very different size."""
        return self.longest > MANY or differ_hundredfold(self.spectra)


class EffectiveRankData(NamedTuple):
    """Effective rank over the steps.

    Args:
        layer: The layer's name; None for the mean over all layers.
        ranks: A line an arm; NaN where ΔW = 0.
    """

    layer: str | None
    ranks: list[Line]


def spectrum_data(
    source: Source,
    layer: str | None = None,
    step: int | None = None,
    arms: Sequence[str] | None = None,
    normalised: bool = False,
) -> SpectrumData:
    """Singular values of ΔW in one layer.

    Args:
        source: `Results`, a `Comparison`, or their `spectra()`.
        layer: The layer; the first by default.
        step: The last measured step up to this one; the last by default.
        arms: Order of the arms.
        normalised: Whether each spectrum is divided by its σ₁; NaN where ΔW = 0.

    Raises:
        BadInput: No such layer.
    """
    frame = table(source, "spectra")
    if frame.empty:
        return SpectrumData("", {}, [])
    rows = of_layer(frame, layer or str(frame["layer"].iloc[0]))
    rows = rows if step is None else rows[rows["step"] <= step]
    latest = rows[rows["step"] == rows.groupby(["arm", "seed"])["step"].transform("max")]
    steps: dict[str, int] = {}
    for arm, at in zip(latest["arm"], latest["step"], strict=True):
        steps[arm] = max(int(at), steps.get(arm, 0))
    values = _by_index(latest, normalised)
    return SpectrumData(str(rows["layer"].iloc[0]), steps, lines(values, "i", "singular_values", arms, points=4096))


def effective_rank_data(
    source: Source, layer: str | None = None, arms: Sequence[str] | None = None
) -> EffectiveRankData:
    """Effective rank of ΔW over the steps.

    Args:
        source: `Results`, a `Comparison`, or their `spectra()`.
        layer: The layer; by default the mean over all layers, those with ΔW = 0 left out.
        arms: Order of the arms.

    Raises:
        BadInput: No such layer.
    """
    frame = table(source, "spectra")
    rows = frame if layer is None or frame.empty else of_layer(frame, layer)
    return EffectiveRankData(layer, lines(rows, "step", "effective_rank", arms))


def spectrum(
    source: Source,
    layer: str | None = None,
    step: int | None = None,
    arms: Sequence[str] | None = None,
    dark: bool = False,
    log: bool | None = None,
    normalised: bool = False,
    trails: int = 0,
    goal: Sequence[float] = (),
) -> go.Figure:
    """Singular values of one layer's ΔW, one line an arm; a dotted line at each ceiling on the rank.

    Args:
        source: `Results`, a `Comparison`, or their `spectra()`.
        layer: The layer; the first by default.
        step: The last measured step up to this one; the last by default.
        arms: Order of the arms.
        dark: For a dark page.
        log: Whether the axes are logarithmic (that of i with more than 16 values); by default with more than 16 values,
            and where one arm is a hundred times as large as another.
        normalised: Whether σᵢ/σ₁ is drawn, the shape of a spectrum without its size.
        trails: How many earlier steps are drawn behind, as faint lines; the later, the stronger.
        goal: Singular values of the ΔW that is to be learnt, where it is known: a dashed line.

    Returns:
        The figure; its `layout.meta` holds both kinds of axes, between which a page can switch.
    """
    data, goal = spectrum_data(source, layer, step, arms, normalised), list(goal)
    goal = goal[: 2 * data.longest]  # also of what lies beyond the ceiling
    traces = [
        *line_traces(data.spectra, "i = %{x}<br>σᵢ = %{y:.4g}"),
        *_goal_traces(goal, data, normalised),
        *_trail_traces(table(source, "spectra"), data, trails, normalised),
    ]
    figure = new_figure(
        [f"{INDEX}; dotted: ceiling on the rank", NORMALISED if normalised else SIGMA], dark=dark, traces=traces
    )
    figure.update_layout(shapes=[_ceiling(i) for i in sorted({len(line.x) for line in data.spectra})])
    note_seeds(figure, data.spectra)
    longest = max(data.longest, len(goal))
    axes = {"linear": _axes(data, longest, False), "log": _axes(data, longest, True)}
    chosen = "log" if (data.suits_log if log is None else log) else "linear"
    return figure.update_layout(axes[chosen], meta={"axes": axes, "chosen": chosen, "normalised": NORMALISED})


def _goal_traces(goal: Sequence[float], data: SpectrumData, normalised: bool) -> list[Trace]:
    if not goal:
        return []
    values = np.asarray(goal, dtype=float)
    values = values / values[0] if normalised else values
    look = {"color": QUIET, "width": 2, "dash": "dash"}
    shown = {"mode": "lines", "line": look, "name": GOAL, "hovertemplate": "i = %{x}<br>σᵢ = %{y:.4g}"}
    return [{"type": "scatter", "x": list(range(1, len(values) + 1)), "y": values.tolist(), **shown}]


def _trail_traces(frame: pd.DataFrame, data: SpectrumData, count: int, normalised: bool) -> list[Trace]:
    """Evenly many of the steps before the one shown, each arm's own; none of the start, where ΔW = 0."""
    traces: list[Trace] = []
    for line in data.spectra if count else ():
        is_earlier = (
            (frame["layer"] == data.layer) & (frame["arm"] == line.arm) & (frame["step"] < data.steps[line.arm])
        )
        spectra = [values for values in frame["singular_values"][is_earlier] if values[0] > 0]
        chosen = sorted({round(at) for at in np.linspace(0, len(spectra) - 1, min(count, len(spectra)))})
        for rank, index in enumerate(chosen, 1):
            values = np.asarray(spectra[index]) / (spectra[index][0] if normalised else 1)
            look = {"color": faded(line.look.colour, 0.1 + 0.3 * rank / len(chosen)), "width": 1}
            traces.append({"x": list(line.x), "y": values.tolist(), "line": look, "legendgroup": line.arm, **TRAIL})
    return traces


def _axes(data: SpectrumData, longest: int, log: bool) -> dict[str, Any]:
    return {"xaxis": index_axis(longest, log), "yaxis": _value_axis(data, log)}


def index_axis(longest: int, log: bool) -> dict[str, Any]:
    """The axis of i = 1 … `longest`, logarithmic where that is asked for and there are many."""
    if log and longest > MANY:
        return {"type": "log", "dtick": math.log10(2), "range": [math.log10(0.9), math.log10(longest * 1.1)]}
    ticks = {"tickformat": "d", "dtick": 1 if longest <= MANY else None}
    return {"type": "linear", "range": [0.5, longest * 1.04 + 0.5], **ticks}


def _value_axis(data: SpectrumData, log: bool) -> dict[str, Any]:
    if not log:
        return {"type": "linear", "rangemode": "tozero"}
    floor = FLOOR * max((line.mean[0] for line in data.spectra), default=0.0)
    return {"type": "log", "exponentformat": "power", "autorangeoptions": {"clipmin": floor or None}}


def effective_rank(
    source: Source, layer: str | None = None, arms: Sequence[str] | None = None, dark: bool = False
) -> go.Figure:
    """Effective rank of ΔW over the steps; a gap where ΔW = 0.

    Args:
        source: `Results`, a `Comparison`, or their `spectra()`.
        layer: The layer; by default the mean over all layers.
        arms: Order of the arms.
        dark: For a dark page.

    Returns:
        The figure.
    """
    data = effective_rank_data(source, layer, arms)
    traces = line_traces(data.ranks, "step %{x}<br>effective rank %{y:.3f}")
    figure = new_figure(["training step", EFFECTIVE_RANK], dark=dark, traces=traces)
    note_seeds(figure, data.ranks)
    return figure


def _by_index(rows: pd.DataFrame, normalised: bool) -> pd.DataFrame:
    """A row a singular value, i = 1 the largest."""
    counts = [len(values) for values in rows["singular_values"]]
    values = np.concatenate(rows["singular_values"].to_list())
    if normalised:
        largest = np.repeat([spectrum[0] for spectrum in rows["singular_values"]], counts)
        values = np.divide(values, largest, out=np.full(values.shape, np.nan), where=largest > 0)
    return pd.DataFrame(
        {
            "arm": rows["arm"].repeat(counts).to_numpy(),
            "seed": rows["seed"].repeat(counts).to_numpy(),
            "i": np.concatenate([np.arange(1, count + 1) for count in counts]),
            "singular_values": values,
        }
    )


def _ceiling(index: int) -> dict[str, Any]:
    line = {"dash": "dot", "width": 1, "color": QUIET}
    return {"type": "line", "x0": index + 0.3, "x1": index + 0.3, "y0": 0, "y1": 1, "yref": "paper", "line": line}


def of_layer(frame: pd.DataFrame, layer: str) -> pd.DataFrame:
    """The rows of one layer.

    Raises:
        BadInput: No such layer.
    """
    rows = frame[frame["layer"] == layer]
    if rows.empty:
        raise unknown("layer", layer, frame["layer"].unique())
    return rows
