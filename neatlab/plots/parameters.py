"""How many parameters each arm trains."""

from collections.abc import Sequence
from typing import NamedTuple

import plotly.graph_objects as go

from neatlab.plots.tables import Source, arm_looks, arm_order, table
from neatlab.plots.theme import new_figure

__all__ = ["ParameterData", "parameter_counts", "parameter_data"]

COUNT = "trainable parameters"
HEAD = "#5f6b78"  # not a paler tone: words in it could not be read on a dark page


class ParameterData(NamedTuple):
    """Trainable parameters an arm, in the order of the arms.

    Args:
        arms: The arms.
        adapter: Parameters of the adapter.
        head: Those of the head that trains with it.
    """

    arms: list[str]
    adapter: list[int]
    head: list[int]


def parameter_data(source: Source, arms: Sequence[str] | None = None) -> ParameterData:
    """Adapter and head parameters of every arm whose runs know them.

    Args:
        source: `Results`, a `Comparison`, or their `frame()`.
        arms: Order of the arms.
    """
    frame = table(source, "frame")
    if not {"adapter_params", "trainable_params"} <= set(frame.columns):
        return ParameterData([], [], [])
    known = frame.dropna(subset=["adapter_params", "trainable_params"]).groupby("arm", sort=False).first()
    order = [arm for arm in arm_order(frame, arms) if arm in known.index]
    adapter, total = (known[name].loc[order].astype(int).tolist() for name in ("adapter_params", "trainable_params"))
    return ParameterData(order, adapter, [trainable - added for trainable, added in zip(total, adapter, strict=True)])


def parameter_counts(source: Source, arms: Sequence[str] | None = None, dark: bool = False) -> go.Figure:
    """A bar an arm: the adapter's parameters, then the head's in grey.

    Args:
        source: `Results`, a `Comparison`, or their `frame()`.
        arms: Order of the arms.
        dark: For a dark page.

    Returns:
        The figure.
    """
    data = parameter_data(source, arms)
    shown = arm_looks(table(source, "frame"), arms) if data.arms else {}
    names, colours = [shown[arm].name for arm in data.arms], [shown[arm].colour for arm in data.arms]
    figure = new_figure([COUNT, ""], dark=dark)
    figure.add_trace(_bars("adapter", names, data.adapter, colours))
    figure.add_trace(_bars("head", names, data.head, [HEAD] * len(names)))
    figure.update_layout(barmode="stack", showlegend=False, bargap=0.4, uniformtext={"mode": "hide", "minsize": 11})
    figure.update_yaxes(autorange="reversed", title=None)
    figure.update_xaxes(rangemode="tozero", nticks=4, tickangle=0)
    return figure


def _bars(part: str, arms: list[str], counts: list[int], colours: list[str]) -> go.Bar:
    return go.Bar(
        y=arms,
        x=counts,
        name=part,
        orientation="h",
        marker={"color": colours},
        text=[f"{part} {count:,}" if count else "" for count in counts],
        textposition="inside",
        textangle=0,
        hovertemplate="%{x:,} " + part + " parameters<extra>%{y}</extra>",
    )
