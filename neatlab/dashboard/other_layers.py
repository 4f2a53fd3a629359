"""What the charts of one layer would show of the others: the page changes layers without asking."""

from collections.abc import Sequence
from zlib import crc32

import orjson
import pandas as pd

from neatlab.dashboard import captions
from neatlab.dashboard.view import Look, Picture, ranks
from neatlab.plots import layer_curve_data, spectrum_data
from neatlab.plots.tables import Line

DIGITS = 7  # significant; more than a chart can show


def other_layers(seen: Picture, look: Look, spectra: pd.DataFrame) -> str:
    """The lines and captions of the two charts of one layer, for every layer.

    Args:
        seen: The runs.
        look: How to see them; its layer does not matter.
        spectra: Table of the spectra.

    Returns:
        JSON: layer → {"like", "spectrum", "layers"}. Layers with the same `like` have lines of the same arms over the
        same places: a figure of one becomes that of the other by putting in its lines.
    """
    layers = {str(name): _layer(seen, look, rows, str(name)) for name, rows in spectra.groupby("layer", sort=False)}
    return orjson.dumps(layers).decode()


def _layer(seen: Picture, look: Look, rows: pd.DataFrame, name: str) -> dict[str, object]:
    spectrum = spectrum_data(rows, name, look.at, seen.arms)
    curves = layer_curve_data(rows, name, arms=seen.arms)
    panels = [line for found in curves.curves.values() for line in found]
    like = [tuple(curves.curves), *((line.arm, line.x, line.seeds) for line in [*spectrum.spectra, *panels])]
    return {
        "like": crc32(repr(like).encode()),
        "spectrum": {"lines": _values(spectrum.spectra), "caption": captions.spectrum(seen.arms, spectrum)},
        "layers": {"lines": _values(panels), "caption": captions.layers(seen.arms, curves, ranks(seen.runs))},
    }


def _values(lines: Sequence[Line]) -> list[list[float]]:
    return [[float(f"{value:.{DIGITS}g}") for value in line.mean] for line in lines]
