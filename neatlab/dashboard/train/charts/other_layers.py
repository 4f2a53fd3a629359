"""What the charts of one layer would show of the others: the page changes layers without asking."""

from collections.abc import Hashable, Sequence
from zlib import crc32

import orjson
import pandas as pd

from neatlab.dashboard.train.charts import layers, spectrum
from neatlab.dashboard.train.charts.base import Drawing
from neatlab.plots import layer_curve_data, spectrum_data
from neatlab.plots.tables import Line, differ_hundredfold

DIGITS = 7  # significant; more than a chart can show


def other_layers(spectra: pd.DataFrame, arms: Sequence[str], at: int | None) -> str:
    """The lines and captions of the two charts of one layer, for every layer.

    Args:
        spectra: Table of the spectra.
        arms: Their order.
        at: Step of the cursor; None for the last.

    Returns:
        JSON: layer → {"like", "spectrum", "layers"}. Layers with the same `like` have lines of the same arms over the
        same places: a figure of one becomes that of the other by putting in its lines.
    """
    by_layer = spectra.groupby("layer", sort=False)
    return orjson.dumps({str(name): _layer(rows, str(name), arms, at) for name, rows in by_layer}).decode()


def _layer(rows: pd.DataFrame, name: str, arms: Sequence[str], at: int | None) -> dict[str, object]:
    values, curves = spectrum_data(rows, name, at, arms), layer_curve_data(rows, name, arms=arms)
    panels = [line for lines in curves.curves.values() for line in lines]
    like = [
        tuple(curves.curves),
        values.suits_log,
        *map(differ_hundredfold, curves.curves.values()),
        *((line.arm, line.x, line.seeds) for line in [*values.spectra, *panels]),
    ]
    return {
        "like": crc32(repr(like).encode()),
        "spectrum": {"lines": _rounded(values.spectra), "caption": spectrum.caption(arms, values)},
        "layers": {"lines": _rounded(panels), "caption": layers.caption(arms, curves, at)},
    }


def _rounded(lines: Sequence[Line]) -> list[list[float]]:
    return [[float(f"{value:.{DIGITS}g}") for value in line.mean] for line in lines]


def depends(drawing: Drawing) -> Hashable:
    """What the other layers' lines change with."""
    return drawing.measured, drawing.view.at


def draw(drawing: Drawing) -> str:
    """The other layers' lines of a window."""
    return other_layers(drawing.spectra, drawing.runs.arms, drawing.view.at)
