"""How many parameters each arm trains."""

from collections.abc import Sequence
from typing import NamedTuple

import plotly.graph_objects as go

from neatlab.plots.tables import Source, arm_looks, arm_order, table
from neatlab.plots.theme import new_figure

__all__ = ["ParameterData", "parameter_counts", "parameter_data"]

COUNT = "trainable parameters, adapter + head"
HEAD = "#5f6b78"
ROOM = 1.7  # of the longest bar: the counts stand beside it


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
    """A bar an arm: the adapter's parameters, then the head's in grey, and both in figures.

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
    # Beside the bars, so that the counts can be read however much larger another arm is.
    counts = [f"{added:,} + {head:,}" if head else f"{added:,}" for _, added, head in zip(*data, strict=True)]
    outside = {"text": counts, "textposition": "outside", "cliponaxis": False}
    figure.add_trace(_bars("head", names, data.head, [HEAD] * len(names)).update(outside))
    figure.update_layout(barmode="stack", showlegend=False, bargap=0.4)
    figure.update_yaxes(autorange="reversed", title=None)
    longest = max(map(sum, zip(data.adapter, data.head, strict=True)), default=1)
    return figure.update_xaxes(range=[0, longest * ROOM], nticks=4, tickangle=0)


def _bars(part: str, arms: list[str], counts: list[int], colours: list[str]) -> go.Bar:
    return go.Bar(
        y=arms,
        x=counts,
        name=part,
        orientation="h",
        marker={"color": colours},
        hovertemplate="%{x:,} " + part + " parameters<extra>%{y}</extra>",
    )
