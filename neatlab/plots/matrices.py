"""Small matrices as pictures, side by side."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go

from neatlab.plots.theme import DARK, LIGHT

__all__ = ["MatrixData", "matrices", "matrix_data"]

GAP = 0.03  # of the width, between two pictures
# Zero is the page's own background, light or dark.
SCALE = [[0.0, "rgba(213,94,0,1)"], [0.5, "rgba(128,128,128,0)"], [1.0, "rgba(0,114,178,1)"]]


class MatrixData(NamedTuple):
    """One matrix.

    Args:
        name: Its title.
        rows: Its entries, from the top, as shares of the largest absolute one; 0 where all are 0.
        largest: That entry's absolute value.
    """

    name: str
    rows: list[list[float]]
    largest: float


def matrix_data(matrices: Mapping[str, Any]) -> list[MatrixData]:
    """Entries of matrices, each on its own scale from −1 to 1.

    Args:
        matrices: Title → two-dimensional array or CPU tensor.
    """
    arrays = {name: np.asarray(matrix, dtype=float) for name, matrix in matrices.items()}
    sizes = {name: float(np.abs(array).max()) for name, array in arrays.items()}
    return [MatrixData(name, (array / (sizes[name] or 1.0)).tolist(), sizes[name]) for name, array in arrays.items()]


def matrices(matrices: Mapping[str, Any], dark: bool = False) -> go.Figure:
    """A picture a matrix: blue entries are positive, orange ones negative, the background is zero.

    Args:
        matrices: Title → two-dimensional array or CPU tensor.
        dark: For a dark page.

    Returns:
        The figure.
    """
    data = matrix_data(matrices)
    figure = go.Figure(layout={"template": DARK if dark else LIGHT, "height": 240, "margin": {"l": 8, "b": 8}})
    width = (1 - GAP * (len(data) - 1)) / max(len(data), 1)
    for position, matrix in enumerate(data):
        _add(figure, matrix, position, position * (width + GAP), width)
    return figure


def _add(figure: go.Figure, matrix: MatrixData, position: int, left: float, width: float) -> None:
    key = "" if position == 0 else str(position + 1)
    plain = {"showgrid": False, "zeroline": False, "showticklabels": False, "ticks": "", "mirror": True}
    figure.layout[f"xaxis{key}"] = {**plain, "domain": [left, left + width], "anchor": f"y{key}", "constrain": "domain"}
    figure.layout[f"yaxis{key}"] = {
        **plain,
        "anchor": f"x{key}",
        "scaleanchor": f"x{key}",
        "autorange": "reversed",
        "constrain": "domain",
        "constraintoward": "top",
    }
    figure.add_trace(
        go.Heatmap(
            z=matrix.rows,
            zmin=-1,
            zmax=1,
            colorscale=SCALE,
            showscale=False,
            xaxis=f"x{key}",
            yaxis=f"y{key}",
            hovertemplate=f"row %{{y}}, column %{{x}}: %{{z:.2f}} of {matrix.largest:.3g}<extra>{matrix.name}</extra>",
        )
    )
    title = {"xref": "paper", "yref": "paper", "x": left + width / 2, "y": 1, "xanchor": "center", "yanchor": "bottom"}
    figure.add_annotation(text=matrix.name, showarrow=False, **title)
