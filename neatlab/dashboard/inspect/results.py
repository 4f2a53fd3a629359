"""What the Inspect tab shows of an inspection: verdict, charts, table and downloads."""

from typing import Any

import gradio as gr

from neatlab.dashboard.inspect import view
from neatlab.dashboard.inspect.charts import CHARTS
from neatlab.dashboard.inspect.form import RAW
from neatlab.dashboard.inspect.request import InspectionResult
from neatlab.dashboard.shared.live_plot import live_plot

FIRST_QUANTITIES = ("relative_norm", "norm")  # drawn over the layers where there is no choice yet
OF_LAYER = [name for name, row in CHARTS.items() if row.of_layer]


class Results:
    """The page of an inspection, with the button that starts it and its status line.

    Args:
        invitation: The status at the start.
    """

    def __init__(self, invitation: str) -> None:
        with gr.Row(elem_classes=["inspect-actions"]):
            self.start = gr.Button("Inspect", variant="primary", elem_id="inspect-start", min_width=110)
            self._json = gr.DownloadButton("JSON", interactive=False, elem_id="inspect-json", min_width=90)
            self._report = gr.DownloadButton("HTML report", interactive=False, elem_id="inspect-report", min_width=110)
        self.status = gr.HTML(invitation, elem_id="inspect-status", apply_default_css=False)
        self._verdict = gr.HTML(view.NOTHING, elem_id="inspect-verdict", apply_default_css=False)
        with gr.Row(elem_classes=["inspect-choices"]):
            self.layer = gr.Dropdown([], label="layer", elem_id="inspect-layer", interactive=True)
            self.quantity = gr.Dropdown([], label="over the layers", elem_id="inspect-quantity", interactive=True)
        with gr.Row(elem_classes=["charts"]):
            self.charts = {name: live_plot(row.chart) for name, row in CHARTS.items()}
        self._table = gr.HTML(view.NO_TABLE, elem_id="inspect-table", apply_default_css=False, render=False)

    def lay_table(self) -> None:
        """Put the table here, below what stands under the charts."""
        self._table.render()

    @property
    def shown(self) -> list[Any]:
        """What an inspection changes, in the order of `show`."""
        page = [self._verdict, self._table, self.layer, self.quantity, self._json, self._report]
        return [*page, *self.charts.values()]

    def show(self, result: InspectionResult | None) -> list[Any]:
        """Everything that was measured."""
        layer, quantities = view.largest(result), view.quantities(result)
        columns = [column for _, column in quantities]
        quantity = next((name for name in FIRST_QUANTITIES if name in columns), None)
        return [
            view.verdict(result),
            view.table(result),
            gr.update(choices=view.layers(result), value=layer),
            gr.update(choices=quantities, value=quantity),
            gr.update(value=result and result.json, interactive=result is not None),
            gr.update(value=result and result.report, interactive=result is not None),
            *(row.draw(result, layer, quantity) for row in CHARTS.values()),
        ]

    def connect(self, result_of: Any) -> None:
        """Attach the handlers that need nothing but a result.

        Args:
            result_of: Gives the result that a request's window shows.
        """

        def draw_layer(layer: Any, request: gr.Request) -> list[Any]:
            result = result_of(request)
            known = layer if layer in view.layers(result) else view.largest(result)
            return [CHARTS[name].draw(result, known, None) for name in OF_LAYER]

        def draw_profile(quantity: Any, request: gr.Request) -> str | None:
            result = result_of(request)
            columns = [column for _, column in view.quantities(result)]
            known = quantity if quantity in columns else next(iter(columns), None)
            return CHARTS["profile"].draw(result, None, known)

        self.layer.input(draw_layer, self.layer, [self.charts[name] for name in OF_LAYER], **RAW)
        self.quantity.input(draw_profile, self.quantity, self.charts["profile"], **RAW)
