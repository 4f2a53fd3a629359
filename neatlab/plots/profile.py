"""How much each layer changed: ‖ΔW‖ and its fellows along the depth and by kind of layer, for several adapters."""

from typing import Any, NamedTuple, Protocol

import pandas as pd
import plotly.graph_objects as go

from neatlab.analysis.quantities import QUANTITIES
from neatlab.errors import unknown
from neatlab.plots.theme import new_figure, style

__all__ = ["KindData", "ProfileData", "kind_data", "kinds", "profile", "profile_data"]

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
GREY = "#7b8794"


class Inspected(Protocol):
    """An inspection, or several that are compared: has a row an adapter and layer."""

    def frame(self) -> pd.DataFrame:
        """The rows."""


class ProfileLine(NamedTuple):
    """One adapter over the layers.

    Args:
        adapter: Its title.
        position: Its position among the adapters, which gives its look.
        values: A value a layer; NaN where there is none.
        random: The same from random directions; empty where that is not known.
    """

    adapter: str
    position: int
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
    for position, (adapter, rows) in enumerate(frame.groupby("adapter", sort=False)):
        by_layer = rows.set_index("layer").reindex(layers)
        random = by_layer[known[quantity].random].tolist() if known[quantity].random in by_layer else []
        lines.append(ProfileLine(str(adapter), position, by_layer[quantity].tolist(), random))
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
    figure = new_figure(["layer, in the model's order", data.name], dark=dark)
    order = list(range(1, len(data.layers) + 1))
    for line in data.lines:
        look = style(line.position)
        if line.random:
            figure.add_trace(random_line(order, line.random, f"{line.adapter}, random"))
        figure.add_trace(
            go.Scatter(
                x=order,
                y=line.values,
                customdata=data.layers,
                name=line.adapter,
                mode="lines+markers",
                line={"color": look.colour, "width": 1.5},
                marker={"symbol": look.marker, "size": 6, "color": look.colour},
                hovertemplate=f"%{{customdata}}<br>%{{y:.4g}}<extra>{line.adapter}</extra>",
            )
        )
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
    positions = {line.adapter: line.position for line in profile_data(source).lines}
    for adapter, shares in zip(data.adapters, data.shares, strict=True):
        bar: dict[str, Any] = {"x": shares, "y": data.kinds, "orientation": "h", "name": adapter}
        look = style(positions[adapter])
        hover = f"%{{y}}: %{{x:.1%}}<extra>{adapter}</extra>"
        figure.add_trace(go.Bar(**bar, marker={"color": look.colour}, hovertemplate=hover))
    figure.update_xaxes(tickformat=".0%", rangemode="tozero")
    figure.update_yaxes(autorange="reversed")
    return figure


def random_line(x: list[int], y: list[float], name: str, **axes: str) -> go.Scatter:
    """What random directions give, in the one look that it has in every figure."""
    line = {"color": GREY, "width": 1.5, "dash": "dot"}
    hover = f"%{{y:.4g}}<extra>{name}</extra>"
    return go.Scatter(x=x, y=y, name=name, mode="lines", line=line, showlegend=False, hovertemplate=hover, **axes)
