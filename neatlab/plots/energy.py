"""How few directions hold ΔW: the share of Σσ² in the leading ones."""

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import plotly.graph_objects as go

from neatlab.plots.spectrum import INDEX, index_axis, spectrum_data
from neatlab.plots.tables import Line, Source
from neatlab.plots.theme import new_figure
from neatlab.plots.traces import line_traces

__all__ = ["EnergyData", "energy", "energy_data"]

LEVEL = 0.9


class EnergyData(NamedTuple):
    """Energy in the leading directions of one layer's ΔW.

    Args:
        layer: The layer's name; empty where nothing was measured.
        shares: Σⱼ≤ᵢ σⱼ²/Σσ² over i, a line an arm; arms with ΔW = 0 are left out.
        held: Arm → directions that hold LEVEL of it.
    """

    layer: str
    shares: list[Line]
    held: dict[str, int]


def energy_data(source: Source, layer: str | None = None, arms: Sequence[str] | None = None) -> EnergyData:
    """Share of Σσ² in the leading i directions of one layer's ΔW.

    Args:
        source: `Results`, a `Comparison`, an inspection's `spectra()`.
        layer: The layer; the first by default.
        arms: Order of the arms.

    Raises:
        BadInput: No such layer.
    """
    spectra = spectrum_data(source, layer, arms=arms)
    shares = [_shares(line) for line in spectra.spectra if any(line.mean)]
    held = {line.arm: next(i for i, share in enumerate(line.mean, start=1) if share >= LEVEL) for line in shares}
    return EnergyData(spectra.layer, shares, held)


def _shares(line: Line) -> Line:
    sums = list(accumulate(value * value for value in line.mean))
    shares = tuple(total / sums[-1] for total in sums)
    return line._replace(mean=shares, low=shares, high=shares, seeds=1)


def energy(
    source: Source, layer: str | None = None, arms: Sequence[str] | None = None, dark: bool = False
) -> go.Figure:
    """Share of Σσ² in the leading i directions of one layer's ΔW; a dotted line at 90 %.

    Args:
        source: `Results`, a `Comparison`, an inspection's `spectra()`.
        layer: The layer; the first by default.
        arms: Order of the arms.
        dark: For a dark page.

    Returns:
        The figure.
    """
    data = energy_data(source, layer, arms)
    traces = line_traces(data.shares, "leading %{x}<br>%{y:.1%} of Σσ²")
    figure = new_figure([INDEX, "share of Σσ² in the leading i"], dark=dark, traces=traces)
    mark = {"text": f"{LEVEL:.0%}", "font": {"size": 11}}
    figure.add_hline(y=LEVEL, line={"dash": "dot", "width": 1}, annotation=mark)
    longest = max((len(line.x) for line in data.shares), default=1)
    figure.update_xaxes(index_axis(longest, log=True))
    return figure.update_yaxes(tickformat=".0%", range=[0, 1.04])
