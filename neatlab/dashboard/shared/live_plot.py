"""A chart in the page that keeps its node and its zoom while its data change.

`gr.Plot` mounts a new Plotly chart for every value, which flickers and forgets the zoom.
"""

import html
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import gradio as gr
import orjson
import plotly
import plotly.graph_objects as go

from neatlab.plots.theme import DARK, LIGHT

PLOTLY_JS = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
SCRIPT = (Path(__file__).parent / "live_plot.js").read_text(encoding="utf-8")
# As text: Gradio copies a component's properties with every update, and objects part by part.
THEMES = orjson.dumps({"light": LIGHT.to_plotly_json(), "dark": DARK.to_plotly_json()}).decode()


def serve_plotly() -> None:
    """Let Gradio serve the plotly.js of the installed wheel: no page of ours asks another machine for it."""
    gr.set_static_paths([PLOTLY_JS])


class Chart(NamedTuple):
    """A live chart.

    Args:
        name: Its id in the page.
        title: Its heading.
        empty: What stands in its place before there are data.
        height: In pixels; fixed, so that nothing moves when the data come.
        hint: How to read it, opened by whoever asks.
    """

    name: str
    title: str
    empty: str
    height: int
    hint: str = ""


def live_plot(*charts: Chart) -> gr.HTML:
    """One chart, or several in one component: Gradio's work for an update grows with the components that it reaches.

    Args:
        charts: The charts.

    Returns:
        The component. The value of a single chart is made by `shown`, that of several by `together`.
    """
    return gr.HTML(
        None,
        html_template=f'<div class="{"charts" if len(charts) > 1 else "chart"}">{"".join(map(_figure, charts))}</div>',
        js_on_load=SCRIPT,
        head=f'<script src="gradio_api/file={PLOTLY_JS}"></script>',
        apply_default_css=False,
        elem_classes=["live-plot"],
        themes=THEMES,
    )


def _figure(chart: Chart) -> str:
    title, empty = html.escape(chart.title), html.escape(chart.empty)
    return _TEMPLATE.format(name=chart.name, height=chart.height, title=title, empty=empty, hint=_hint(chart.hint))


_TEMPLATE = """<figure class="live-figure" id="{name}" aria-labelledby="{name}-title {name}-caption">
<h3 class="live-title" id="{name}-title">{title}</h3>
<div class="live-area" style="height: {height}px">
<div class="live-chart" id="{name}-chart"></div>
<p class="live-empty">{empty}</p>
</div>
<figcaption class="live-caption" id="{name}-caption"></figcaption>
{hint}
<div class="live-tools" hidden>
<button type="button" data-do="table" aria-expanded="false" aria-controls="{name}-table">Table</button>
<button type="button" data-do="csv" aria-label="{title}: download the numbers as CSV">CSV</button>
<button type="button" data-do="svg" aria-label="{title}: download as SVG">SVG</button>
<button type="button" data-do="png" aria-label="{title}: download as PNG">PNG</button>
</div>
<div class="live-table scroll" id="{name}-table" tabindex="0" role="region" aria-label="{title}: numbers" hidden></div>
</figure>"""


def _hint(text: str) -> str:
    if not text:
        return ""
    return f'<details class="live-hint"><summary>How to read this</summary><p>{html.escape(text)}</p></details>'


def shown(figure: go.Figure, caption: str, layer: str | None = None) -> str:
    """A live chart's value: the figure without its template, which the page chooses, and its summary in words.

    Args:
        figure: The figure; where `layer` is given, its name stands in `uirevision`.
        caption: The summary.
        layer: The layer shown, if the page may put the lines of another one in its place.
    """
    plain = orjson.loads(figure.to_json())
    plain["layout"].pop("template", None)
    return orjson.dumps({"figure": plain, "caption": caption, "layer": layer}).decode()


def together(values: Mapping[str, str | None]) -> str:
    """The value of several charts in one component.

    Args:
        values: Name of a chart → what `shown` made of it; None for an empty one.
    """
    return orjson.dumps(values).decode()
