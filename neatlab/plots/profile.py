"""How much each layer changed: ‖ΔW‖ and its fellows along the depth and by kind of layer, for several adapters."""

from typing import Any, NamedTuple, Protocol

import pandas as pd
import plotly.graph_objects as go

from neatlab.analysis.quantities import QUANTITIES
from neatlab.errors import unknown
from neatlab.plots.looks import Look
from neatlab.plots.tables import arm_looks, short_layers
from neatlab.plots.theme import QUIET, new_figure

__all__ = ["KindData", "ProfileData", "kind_data", "kinds", "profile", "profile_data"]

LAYERS = "layer, in the model's order"
PROFILED = (
    "norm",
    "relative_norm",
    "effective_rank",
    "stable_rank",
    "participation_ratio",
    "energy_rank_90",
    "amplification",
    "intruders",
)


class Inspected(Protocol):
    """An inspection, or several that are compared: has a row an adapter and layer."""

    def frame(self) -> pd.DataFrame:
        """The rows."""


class ProfileLine(NamedTuple):
    """One adapter over the layers.

    Args:
        adapter: Its title.
        look: How it is shown.
        values: A value a layer; NaN where there is none.
        random: The same from random directions; empty where that is not known.
    """

    adapter: str
    look: Look
    values: list[float]
    random: list[float]


class ProfileData(NamedTuple):
    """A quantity over the layers.

    Args:
        name: The quantity, as the axis names it.
        layers: The layers in the model's order.
        lines: One an adapter.
    """

    name: str
    layers: list[str]
    lines: list[ProfileLine]


class KindData(NamedTuple):
    """Shares of Σ‖ΔW‖² by kind of layer.

    Args:
        kinds: The kinds, the largest share first.
        adapters: The adapters.
        shares: adapter × kind; each adapter's sum to 1.
    """

    kinds: list[str]
    adapters: list[str]
    shares: list[list[float]]


def inspected(source: Inspected | pd.DataFrame) -> pd.DataFrame:
    """The rows of an inspection, whatever it comes as."""
    return source if isinstance(source, pd.DataFrame) else source.frame()


def profile_data(source: Inspected | pd.DataFrame, quantity: str = "norm") -> ProfileData:
    """One quantity over the layers, an entry an adapter.

    Args:
        source: An inspection, a comparison of adapters, or their `frame()`.
        quantity: One of PROFILED.

    Raises:
        BadInput: No such quantity, or one that was not measured.
    """
    frame = inspected(source)
    known = {name: QUANTITIES[name] for name in PROFILED if name in frame}
    if quantity not in known:
        raise unknown("quantity", quantity, known)
    layers = list(dict.fromkeys(frame["layer"]))
    lines = []
    for adapter, look in arm_looks(frame, None, "adapter").items():
        by_layer = frame[frame["adapter"] == adapter].set_index("layer").reindex(layers)
        random = by_layer[known[quantity].random].tolist() if known[quantity].random in by_layer else []
        lines.append(ProfileLine(adapter, look, by_layer[quantity].tolist(), random))
    return ProfileData(known[quantity].axis, layers, lines)


def profile(source: Inspected | pd.DataFrame, quantity: str = "norm", dark: bool = False) -> go.Figure:
    """One quantity over the layers; dotted: random directions, where that is known.

    Args:
        source: An inspection, a comparison of adapters, or their `frame()`.
        quantity: One of PROFILED.
        dark: For a dark page.

    Returns:
        The figure.
    """
    data = profile_data(source, quantity)
    figure, names = new_figure([LAYERS, data.name], dark=dark), short_layers(data.layers)
    for line in data.lines:
        look = line.look
        if line.random:
            figure.add_trace(random_line(names, line.random, f"{look.name}, random"))
        figure.add_trace(
            go.Scatter(
                x=names,
                y=line.values,
                customdata=data.layers,
                name=look.name,
                mode="lines+markers",
                line={"color": look.colour, "width": 1.5, "dash": look.dash},
                marker={"symbol": look.marker, "size": 6, "color": look.colour},
                hovertemplate=f"%{{customdata}}<br>%{{y:.4g}}<extra>{look.name}</extra>",
            )
        )
    figure.update_xaxes(type="category")
    figure.update_yaxes(rangemode="tozero")
    return figure


def kind_data(source: Inspected | pd.DataFrame) -> KindData:
    """Shares of Σ‖ΔW‖² that each kind of layer carries; an adapter with ΔW = 0 everywhere is left out.

    Args:
        source: An inspection, a comparison of adapters, or their `frame()`.
    """
    frame = inspected(source)
    energies = frame.assign(energy=frame["norm"] ** 2).pivot_table("energy", "adapter", "kind", "sum", sort=False)
    energies = energies[energies.sum(axis=1) > 0].fillna(0.0)
    shares = energies.div(energies.sum(axis=1), axis=0)
    kinds = shares.mean().sort_values(ascending=False).index.tolist() if len(shares) else []
    return KindData(
        [str(kind) for kind in kinds], [str(name) for name in shares.index], shares[kinds].to_numpy().tolist()
    )


def kinds(source: Inspected | pd.DataFrame, dark: bool = False) -> go.Figure:
    """Which kinds of layer carry the change, a bar a kind and adapter.

    Args:
        source: An inspection, a comparison of adapters, or their `frame()`.
        dark: For a dark page.

    Returns:
        The figure.
    """
    data = kind_data(source)
    figure = new_figure(["share of Σ‖ΔW‖²", "kind of layer"], dark=dark)
    shown = arm_looks(inspected(source), None, "adapter")
    for adapter, shares in zip(data.adapters, data.shares, strict=True):
        look = shown[adapter]
        bar: dict[str, Any] = {"x": shares, "y": data.kinds, "orientation": "h", "name": look.name}
        hover = f"%{{y}}: %{{x:.1%}}<extra>{look.name}</extra>"
        figure.add_trace(go.Bar(**bar, marker={"color": look.colour}, hovertemplate=hover))
    figure.update_xaxes(tickformat=".0%", rangemode="tozero")
    figure.update_yaxes(autorange="reversed")
    return figure


def random_line(x: list[Any], y: list[float], name: str, **axes: str) -> go.Scatter:
    """What random directions give, in the one look that it has in every figure."""
    line = {"color": QUIET, "width": 1.5, "dash": "dot"}
    hover = f"%{{y:.4g}}<extra>{name}</extra>"
    return go.Scatter(x=x, y=y, name=name, mode="lines", line=line, showlegend=False, hovertemplate=hover, **axes)
