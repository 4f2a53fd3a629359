"""A chart in the page that keeps its node and its zoom while its data change.

`gr.Plot` mounts a new Plotly chart for every value, which flickers and forgets the zoom.
"""

import html
from pathlib import Path

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


def live_plot(name: str, title: str, empty: str, height: int, hint: str = "") -> gr.HTML:
    """A live chart.

    Args:
        name: Its id in the page.
        title: Its heading.
        empty: What stands in its place before there are data.
        height: In pixels; fixed, so that nothing moves when the data come.
        hint: How to read it, opened by whoever asks.

    Returns:
        The component; its value is made by `shown`.
    """
    words = {"title": html.escape(title), "empty": html.escape(empty), "hint": _hint(hint)}
    return gr.HTML(
        None,
        html_template=_TEMPLATE.format(name=name, height=height, **words),
        js_on_load=SCRIPT,
        head=f'<script src="gradio_api/file={PLOTLY_JS}"></script>',
        apply_default_css=False,
        elem_id=name,
        elem_classes=["live-plot"],
        themes=THEMES,
    )


_TEMPLATE = """<figure class="live-figure" aria-labelledby="{name}-title {name}-caption">
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


def shown(figure: go.Figure, caption: str) -> str:
    """A live chart's value: the figure without its template, which the page chooses, and its summary in words."""
    plain = orjson.loads(figure.to_json())
    plain["layout"].pop("template", None)
    return orjson.dumps({"figure": plain, "caption": caption}).decode()
