"""Singular values of ΔW, and the effective rank that sums them up."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from neatlab.errors import unknown
from neatlab.plots.tables import Line, Source, lines, table
from neatlab.plots.theme import new_figure
from neatlab.plots.traces import line_traces, note_seeds

__all__ = ["EffectiveRankData", "SpectrumData", "effective_rank", "effective_rank_data", "spectrum", "spectrum_data"]

INDEX = "index i, up to the ceiling on the rank"
SIGMA = "singular value σᵢ of ΔW"
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


class EffectiveRankData(NamedTuple):
    """Effective rank over the steps.

    Args:
        layer: The layer's name; None for the mean over all layers.
        ranks: A line an arm; NaN where ΔW = 0.
    """

    layer: str | None
    ranks: list[Line]


def spectrum_data(
    source: Source, layer: str | None = None, step: int | None = None, arms: Sequence[str] | None = None
) -> SpectrumData:
    """Singular values of ΔW in one layer.

    Args:
        source: `Results`, a `Comparison`, or their `spectra()`.
        layer: The layer; the first by default.
        step: The last measured step up to this one; the last by default.
        arms: Order of the arms.

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
    return SpectrumData(
        str(rows["layer"].iloc[0]), steps, lines(_by_index(latest), "i", "singular_values", arms, points=4096)
    )


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
) -> go.Figure:
    """Singular values of one layer's ΔW, one line an arm; a dotted line at each ceiling on the rank.

    Args:
        source: `Results`, a `Comparison`, or their `spectra()`.
        layer: The layer; the first by default.
        step: The last measured step up to this one; the last by default.
        arms: Order of the arms.
        dark: For a dark page.

    Returns:
        The figure.
    """
    data = spectrum_data(source, layer, step, arms)
    traces = line_traces(data.spectra, "i = %{x}<br>σᵢ = %{y:.4g}")
    figure = new_figure([INDEX, SIGMA], dark=dark, traces=traces)
    ceilings = sorted({len(line.x) for line in data.spectra})
    figure.update_layout(shapes=[_ceiling(i) for i in ceilings], annotations=[_ceiling_name(i) for i in ceilings])
    note_seeds(figure, data.spectra)
    longest = max(ceilings, default=1)
    figure.update_xaxes(tickformat="d", dtick=1 if longest <= 16 else None, range=[0.5, longest * 1.12 + 0.5])
    figure.update_yaxes(rangemode="tozero")
    return figure


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


def _by_index(rows: pd.DataFrame) -> pd.DataFrame:
    """A row a singular value, i = 1 the largest."""
    counts = [len(values) for values in rows["singular_values"]]
    return pd.DataFrame(
        {
            "arm": rows["arm"].repeat(counts).to_numpy(),
            "seed": rows["seed"].repeat(counts).to_numpy(),
            "i": np.concatenate([np.arange(1, count + 1) for count in counts]),
            "singular_values": np.concatenate(rows["singular_values"].to_list()),
        }
    )


def _ceiling(index: int) -> dict[str, Any]:
    line = {"dash": "dot", "width": 1, "color": "#7b8794"}  # seen on a light and on a dark page
    return {"type": "line", "x0": index + 0.3, "x1": index + 0.3, "y0": 0, "y1": 1, "yref": "paper", "line": line}


def _ceiling_name(index: int) -> dict[str, Any]:
    position = {"x": index + 0.3, "y": 0, "yref": "paper", "xanchor": "left", "yanchor": "bottom", "showarrow": False}
    return {"text": f"ceiling {index}", "font": {"size": 11}, **position}


def of_layer(frame: pd.DataFrame, layer: str) -> pd.DataFrame:
    """The rows of one layer.

    Raises:
        BadInput: No such layer.
    """
    rows = frame[frame["layer"] == layer]
    if rows.empty:
        raise unknown("layer", layer, frame["layer"].unique())
    return rows
