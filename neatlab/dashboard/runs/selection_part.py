"""The Runs tab's pictures of the selected runs: curves, quality against cost, and the settings that differ."""

from collections.abc import Sequence
from typing import Any

import gradio as gr

from neatlab.dashboard.runs.table import selected_texts
from neatlab.dashboard.runs.view import (
    COSTS,
    NOTHING,
    curves,
    difference_table,
    quality_and_cost,
    readable_runs,
    watching,
)
from neatlab.dashboard.shared.context import Context
from neatlab.dashboard.shared.html import mistake
from neatlab.dashboard.shared.in_order import in_order
from neatlab.dashboard.shared.listing import MAX_SELECTED, Chosen, Listing, by_task, choose, read_store
from neatlab.dashboard.shared.live_plot import Chart, live_plot
from neatlab.dashboard.shared.tab import LIGHT, UNCHECKED
from neatlab.errors import BadInput
from neatlab.runs.run import Run

CURVES = Chart("runs-curves", "Loss and metric", "Select runs to lay their curves over another.", 440, term="splits")
PARETO = Chart(
    "runs-pareto",
    "Quality against cost",
    "Select runs that have ended to see what their scores cost.",
    380,
    term="front",
)


class SelectionPart:
    """The part of the tab that shows the selected runs.

    Args:
        context: What the tabs share.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self.chosen = gr.Dropdown(
            [],
            value=[],
            multiselect=True,
            max_choices=MAX_SELECTED,
            allow_custom_value=True,
            label="selected runs",
            info=f"At most {MAX_SELECTED}: click rows above, or type here to find a run.",
            elem_id="runs-chosen",
        )
        self.message = gr.HTML("", elem_id="runs-message", elem_classes=["message"], apply_default_css=False)
        self.task = gr.Dropdown([], label="task drawn", elem_id="runs-task", visible=False, interactive=True)
        self._curves = live_plot(CURVES)
        costs = [(text, name) for name, text in COSTS.items()]
        self.cost = gr.Dropdown(costs, value=costs[0][1], label="cost", elem_id="runs-cost", interactive=True)
        self._pareto = live_plot(PARETO)
        self._differences = gr.HTML(NOTHING, elem_id="runs-differences", apply_default_css=False)

    @property
    def shown(self) -> list[Any]:
        """What a selection changes, in the order of `show`."""
        return [self.message, self.task, self._curves, self._pareto, self._differences]

    def show(self, selection: Chosen, task: Any, cost: Any) -> list[Any]:
        """The pictures of a selection.

        Args:
            selection: Those that can be read, and what is wrong with others.
            task: Which task's runs are drawn, where there are several.
            cost: What the scores are held against.
        """
        groups = by_task(selection.runs)
        at = str(task) if str(task) in groups else next(iter(groups), None)
        return [
            "".join(mistake(text) for text in selection.problems) + watching(selection.runs),
            gr.update(choices=list(groups), value=at, visible=len(groups) > 1),
            *_drawn(groups.get(at or "", []), cost),
            difference_table(selection.runs),
        ]

    def connect(self) -> None:
        """Attach the handlers."""
        inputs = [self.chosen, self.task, self.cost]
        settings: dict[str, Any] = {**LIGHT, **UNCHECKED, "trigger_mode": "always_last"}
        draw = in_order(self._draw)
        for event in (self.task.input, self.cost.input):
            event(draw, inputs, [self._curves, self._pareto], **settings)

    def _draw(self, given: Any, task: Any, cost: Any) -> list[str | None]:
        _, (runs, _) = chosen_now(self._context, given)
        return _drawn(by_task(readable_runs(runs).runs).get(str(task), []), cost)


def _drawn(runs: Sequence[Run], cost: Any) -> list[str | None]:
    return [curves(runs), quality_and_cost(runs, str(cost))]


def chosen_now(context: Context, given: Any, check: bool = False) -> tuple[Listing, Chosen]:
    """The store, and what of it is selected.

    Args:
        context: What the tabs share.
        given: The selection, from the page.
        check: Whether every run is compared with the disk, or only those selected.
    """
    listing = read_store(context.store, None if check else selected_texts(given))
    try:
        return listing, choose(listing, given)
    except BadInput as error:
        return listing, Chosen([], [str(error)])
