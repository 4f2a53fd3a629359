"""What the teaching notebooks share: offline figures, computed prose, exercises, and one switch of size."""

import math
import os
import tempfile
import warnings
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson
import plotly.io as pio
from IPython.display import HTML, Markdown, display
from plotly.io.base_renderers import MimetypeRenderer
from plotly.offline import get_plotlyjs
from tqdm import TqdmWarning

from neatlab.errors import unknown
from neatlab.plots.theme import DARK

SIZE = "NEATLAB_NOTEBOOK_SIZE"
SIZES = ("full", "small")
HEIGHT = 380  # pixels, of a figure that does not set its own
# Plotly's "Share chart" would upload the data to another machine.
CONFIG = {
    "responsive": True,
    "displaylogo": False,
    "modeBarButtonsToRemove": ["sendChartToCloud", "select2d", "lasso2d", "autoScale2d"],
    "plotlyServerURL": "",
}
# Jupyter, VS Code and exported pages mark a dark theme each in their own way; all of them then write in a light colour.
FOLLOW_THEME = """
const plot = document.getElementById("{plot_id}"), light = plot.layout.template, dark = DARK_TEMPLATE;
function paint() {
  const [red, green, blue] = getComputedStyle(plot).color.match(/[\\d.]+/g).map(Number);
  Plotly.relayout(plot, { template: red + green + blue > 384 ? dark : light });
}
const watch = new MutationObserver(() => (plot.isConnected ? paint() : watch.disconnect()));
for (const node of [document.documentElement, document.body]) watch.observe(node, { attributes: true });
paint();
"""

T = TypeVar("T")


@dataclass(frozen=True)
class Lesson:
    """How much a notebook computes, and where its runs go.

    Args:
        small: Whether it is only being checked.
        runs: Runs folder, removed with the kernel.
    """

    small: bool
    runs: str

    def pick(self, *, full: T, small: T) -> T:
        """The value for the size that was asked for."""
        return small if self.small else full


class Offline(MimetypeRenderer):
    """Figures as HTML that asks for nothing outside the notebook and follows the page's light or dark theme."""

    def to_mimebundle(self, fig_dict: dict[str, Any]) -> dict[str, str]:
        """The figure as Jupyter shows it."""
        script = FOLLOW_THEME.replace("DARK_TEMPLATE", orjson.dumps(DARK.to_plotly_json()).decode())
        settings = {"include_plotlyjs": False, "include_mathjax": False, "full_html": False, "validate": False}
        html = pio.to_html(fig_dict, config=CONFIG, post_script=script, default_height=HEIGHT, **settings)
        return {"text/html": html}


def begin() -> Lesson:
    """Put Plotly into the page, once a notebook, and read how much is to be computed.

    Returns:
        The lesson's settings; NEATLAB_NOTEBOOK_SIZE=small asks for less computing.

    Raises:
        BadInput: Another size than full or small.
    """
    size = os.environ.get(SIZE, "full")
    if size not in SIZES:
        raise unknown(SIZE, size, SIZES)
    # Widgets, which an exported page could not show, are not asked for; nor are bars drawn for files of a moment.
    warnings.filterwarnings("ignore", category=TqdmWarning)
    warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)  # PEFT's own
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    pio.renderers["neatlab"] = Offline()
    pio.renderers.default = "neatlab"
    display(HTML(f"<script>{get_plotlyjs()}</script>"))
    return Lesson(size == "small", _folder.name)


_folder = tempfile.TemporaryDirectory(prefix="neatlab-")


def say(text: str) -> None:
    """Show Markdown whose numbers a cell has computed."""
    display(Markdown(text))


def check(answer: float | str | None, expected: float | str, hint: str) -> None:
    """Compare a reader's answer with the computed one; numbers count as equal within 1 %.

    Args:
        answer: What the reader put in; None while nothing is.
        expected: The right answer.
        hint: What to think of after a wrong one.
    """
    if answer is None:
        say("*Not answered yet: put your answer in the place of* `None` *and run the cell again.*")
    elif _agree(answer, expected):
        say(f"**Right:** {expected:.4g}" if isinstance(expected, float) else f"**Right:** {expected}")
    else:
        say(f"**Not {answer}.** {hint}")


def _agree(answer: float | str, expected: float | str) -> bool:
    if isinstance(answer, str) or isinstance(expected, str):
        return str(answer).strip().casefold() == str(expected).strip().casefold()
    return math.isclose(answer, expected, rel_tol=0.01)
