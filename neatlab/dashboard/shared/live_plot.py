"""A chart in the page that keeps its node and its zoom while its data change.

`gr.Plot` mounts a new Plotly chart for every value, which flickers and forgets the zoom.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
import plotly
import plotly.graph_objects as go
from markupsafe import Markup

from neatlab.dashboard.shared.terms import ask
from neatlab.plots.theme import DARK, LIGHT
from neatlab.runtime.templates import macros

if TYPE_CHECKING:  # replays have charts without a server, and so without Gradio
    import gradio as gr

_HTML = macros(__file__)
PLOTLY_JS = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
FIRST, LAST = ((Path(__file__).parent / name).read_text(encoding="utf-8") for name in ("live_html.js", "live_plot.js"))
# As text: Gradio copies a component's properties with every update, and objects part by part.
THEMES = orjson.dumps({"light": LIGHT.to_plotly_json(), "dark": DARK.to_plotly_json()}).decode()


def serve_plotly() -> None:
    """Let Gradio serve the plotly.js of the installed wheel: no page of ours asks another machine for it."""
    import gradio as gr

    gr.set_static_paths([PLOTLY_JS])


class Chart(NamedTuple):
    """A live chart.

    Args:
        name: Its id in the page.
        title: Its heading.
        empty: What is shown before there are data.
        height: In pixels; fixed, so that nothing moves when the data come.
        hint: How to read it, opened by whoever asks.
        scales: Whether its reader may choose logarithmic axes and normalised values, as `layout.meta` says.
        script: Where it draws itself, JavaScript that sets `painters.NAME`, a function of its area and value, which
            says whether there is anything.
        term: Name in TERMS of the word that has to be understood to read it.
    """

    name: str
    title: str
    empty: str
    height: int
    hint: str = ""
    scales: bool = False
    script: str = ""
    term: str = ""

    @property
    def question(self) -> Markup:
        """The button that explains its term."""
        return ask(self.term) if self.term else Markup()


def live_plot(*charts: Chart) -> "gr.HTML":
    """One chart, or several in one component: Gradio's work for an update grows with the components that it reaches.

    Args:
        charts: The charts.

    Returns:
        The component. The value of a single chart is made by `shown`, that of several by `together`.
    """
    import gradio as gr

    return gr.HTML(
        None,
        html_template=figures(charts),
        js_on_load=script(charts),
        head=_HTML.script(PLOTLY_JS),
        apply_default_css=False,
        elem_classes=["live-plot"],
        themes=THEMES,
    )


def figures(charts: Sequence[Chart]) -> Markup:
    """The elements that the charts are drawn into."""
    return _HTML.figures(charts)


def script(charts: Sequence[Chart]) -> str:
    """What draws the charts: JavaScript in which `element` holds them, `props` their value and the themes."""
    return "\n".join([FIRST, *(chart.script for chart in charts), LAST])


def shown(figure: go.Figure, caption: str, layer: str | None = None) -> str:
    """A live chart's value: the figure without its template, which the page chooses, and its summary in words.

    Args:
        figure: The figure; where `layer` is given, its name stands in `uirevision`.
        caption: The summary.
        layer: The layer shown, if the page may put the lines of another layer there.
    """
    plain = orjson.loads(figure.to_json())
    plain["layout"].pop("template", None)
    return orjson.dumps({"figure": plain, "caption": caption, "layer": layer}).decode()


def shown_html(html: Markup, caption: str) -> str:
    """A live chart's value where it is no figure of Plotly's.

    Args:
        html: What stands in its place, safe as it is.
        caption: The summary.
    """
    return orjson.dumps({"html": str(html), "caption": caption}).decode()


def shown_script(value: Mapping[str, Any], caption: str) -> str:
    """A live chart's value where its own script draws it.

    Args:
        value: What the script is given.
        caption: The summary.
    """
    return orjson.dumps({"own": value, "caption": caption}).decode()


def together(values: Mapping[str, str | None]) -> str:
    """The value of several charts in one component.

    Args:
        values: Name of a chart → what `shown` made of it; None for an empty one.
    """
    return orjson.dumps(values).decode()
