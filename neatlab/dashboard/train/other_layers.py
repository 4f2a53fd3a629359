"""What the charts of one layer would show of the others: the page changes layers without asking."""

from collections.abc import Mapping, Sequence
from typing import Any
from zlib import crc32

import orjson
import pandas as pd

from neatlab.dashboard.train import captions
from neatlab.plots import layer_curve_data, spectrum_data
from neatlab.plots.tables import Line

DIGITS = 7  # significant; more than a chart can show


def other_layers(spectra: pd.DataFrame, arms: Sequence[str], ranks: Mapping[str, Any], at: int | None) -> str:
    """The lines and captions of the two charts of one layer, for every layer.

    Args:
        spectra: Table of the spectra.
        arms: Their order.
        ranks: Arm → the rank set for it.
        at: Step of the cursor; None for the last.

    Returns:
        JSON: layer → {"like", "spectrum", "layers"}. Layers with the same `like` have lines of the same arms over the
        same places: a figure of one becomes that of the other by putting in its lines.
    """
    by_layer = spectra.groupby("layer", sort=False)
    return orjson.dumps({str(name): _layer(rows, str(name), arms, ranks, at) for name, rows in by_layer}).decode()


def _layer(
    rows: pd.DataFrame, name: str, arms: Sequence[str], ranks: Mapping[str, Any], at: int | None
) -> dict[str, object]:
    spectrum, curves = spectrum_data(rows, name, at, arms), layer_curve_data(rows, name, arms=arms)
    panels = [line for found in curves.curves.values() for line in found]
    like = [tuple(curves.curves), *((line.arm, line.x, line.seeds) for line in [*spectrum.spectra, *panels])]
    return {
        "like": crc32(repr(like).encode()),
        "spectrum": {"lines": _values(spectrum.spectra), "caption": captions.spectrum(arms, spectrum)},
        "layers": {"lines": _values(panels), "caption": captions.layers(arms, curves, ranks)},
    }


def _values(lines: Sequence[Line]) -> list[list[float]]:
    return [[float(f"{value:.{DIGITS}g}") for value in line.mean] for line in lines]
