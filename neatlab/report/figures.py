"""The figures of a report, each with what it says in words."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import orjson
import plotly.graph_objects as go
from markupsafe import Markup

from neatlab import plots
from neatlab.plots import ParetoData, StabilityData
from neatlab.plots.looks import Look, short_name
from neatlab.plots.pareto import COSTS
from neatlab.report.markup import legend
from neatlab.runs.comparison import Comparison
from neatlab.runs.labels import family
from neatlab.runtime.templates import macros

HEIGHT = 380  # pixels
MARGIN = {"l": 56, "r": 16, "t": 12, "b": 44}  # the page has one legend for all figures
MAX_CURVES = 6  # lines that a figure can show; that a reader can tell from each other


class Figure(NamedTuple):
    """One figure of the page.

    Args:
        id: Its element.
        title: What it shows.
        words: What it says, for those who do not see it and those in a hurry.
        figure: The drawing.
        wide: Whether it takes the whole width.
    """

    id: str
    title: str
    words: str
    figure: go.Figure
    wide: bool = False

    def html(self) -> Markup:
        """The element that the drawing goes into."""
        height = self.figure.layout.height or HEIGHT
        return macros(__file__).figure(self.id, self.title, self.words, height, self.wide)

    def plain(self) -> dict[str, Any]:
        """Data and layout as plain values, without the template, which the page sets by its light."""
        figure: dict[str, Any] = orjson.loads(self.figure.to_json())
        layout = {name: value for name, value in figure["layout"].items() if name != "template"}
        return {"data": figure["data"], "layout": {"height": HEIGHT, "margin": MARGIN, **layout, "showlegend": False}}


def figures(comparison: Comparison, order: Sequence[str]) -> list[Figure]:
    """Every figure that the runs have something for.

    Args:
        comparison: Runs of one setting.
        order: The arms, the reference first.
    """
    mark = comparison.runs[0].run_id  # ids must differ where a page shows several settings
    drawn = [draw(comparison, order) for draw in FIGURES]
    return [figure._replace(id=f"{figure.id}-{mark}") for figure in drawn if figure is not None]


def section(heading: str, looks: Mapping[str, Look], drawn: Sequence[Figure]) -> Markup:
    """The figures under a heading, with one legend for all of them."""
    return macros(__file__).section(heading, legend(looks), drawn)


def _intervals(comparison: Comparison, order: Sequence[str]) -> Figure | None:
    data = plots.interval_data(comparison, arms=order)
    if not data.arms:
        return None
    reference = comparison.references[0]
    margin = f"; grey: what differs from it by less than {comparison.margin:g}, which does not matter"
    line = f" Dotted line: {short_name(reference)}, the reference{margin}." if len(order) > 1 else ""
    words = f"Mean and 95 % interval over seeds.{line}"
    drawn = plots.intervals(comparison, arms=order, reference=reference)
    return Figure("intervals", f"{data.name.partition(',')[0].capitalize()} of every arm", words, drawn, wide=True)


def _heatmap(comparison: Comparison, order: Sequence[str]) -> Figure | None:
    axes = plots.crossed(comparison)
    if axes is None:
        return None
    data = plots.heatmap_data(comparison, *axes)
    cells = {
        f"{axes[0]} {row}, {axes[1]} {column}": cell.mean
        for row, entries in zip(data.rows, data.cells, strict=True)
        for column, cell in zip(data.columns, entries, strict=True)
        if cell is not None
    }
    best = (max if comparison.metric.higher_is_better else min)(cells, key=lambda name: cells[name])
    only = f" Only arms with {', '.join(f'{name}={value}' for name, value in data.held.items())}." if data.held else ""
    words = (
        f"Mean ± half the 95 % interval.{only} Best mean: {best} ({cells[best]:.4f}); the verdict says what it shows."
    )
    return Figure("heatmap", f"{axes[0].capitalize()} × {axes[1]}", words, plots.heatmap(comparison, *axes), wide=True)


def _rates(comparison: Comparison, order: Sequence[str]) -> Figure | None:
    if not comparison.search:
        return None
    arms = {comparison.label(run): family(run.config.arm) for run in comparison.runs}
    drawn = plots.rates(comparison, arms=list(dict.fromkeys(arms[label] for label in order)))
    words = (
        "Runs of the search, on a seed that is not reported and on validation data. "
        "Open markers: the same arm at another scaling of its update; a gap: the run diverged."
    )
    return Figure("rates", "How the learning rates were chosen", words, drawn, wide=len(order) > MAX_CURVES)


def _pareto(cost: str, comparison: Comparison, order: Sequence[str]) -> Figure | None:
    data = plots.pareto_data(comparison, cost, arms=order)
    if len(data.arms) < 2 or not any(data.front):
        return None
    front = _names(data)
    words = f"On the front (no arm is as cheap and as good in the mean): {front}."
    name = data.cost.partition(",")[0].partition(" for ")[0]
    drawn = plots.pareto(comparison, cost, arms=order)
    return Figure(f"pareto-{cost}", f"{comparison.metric.name.capitalize()} against {name}", words, drawn)


def _names(data: ParetoData | StabilityData) -> str:
    """The arms on the front."""
    return ", ".join(entry.look.name for entry, on in zip(data.arms, data.front, strict=True) if on)


def _stability(comparison: Comparison, order: Sequence[str]) -> Figure | None:
    base = comparison.base_metric
    data = plots.stability_data(comparison, arms=order)
    if base is None or not any(data.front):
        return None
    front = _names(data)
    words = (
        f"Intervals over seeds of both; dashed: {base.name} before training. On the front (no arm is as good and "
        f"leaves as much of the base in the mean): {front}."
    )
    drawn = plots.stability(comparison, arms=order)
    return Figure("stability", f"{comparison.metric.name.capitalize()} against what is left of the base", words, drawn)


def _ranks(comparison: Comparison, order: Sequence[str]) -> Figure | None:
    data = plots.rank_data(comparison, order)
    if not data:
        return None
    words = "A marker a run, at the end of its training."
    drawn = plots.rank_against_metric(comparison, arms=order)
    return Figure("ranks", f"{comparison.metric.name.capitalize()} against effective rank of ΔW", words, drawn)


def _curves(comparison: Comparison, order: Sequence[str]) -> Figure | None:
    shown = list(order)[:MAX_CURVES]
    drawn = plots.learning_curves(comparison.curves(), comparison.metric.name, shown)
    left = len(order) - len(shown)
    best = f"The reference and the {MAX_CURVES - 1} arms with the best means; {left} are left out. "
    words = f"{best if left > 0 else ''}Markers: validation split; thin lines: loss of the training batches."
    return Figure("curves", "Learning curves", words, drawn.update_layout(height=460), wide=True)


# Every figure, in the page's order: a row each, None where the runs have nothing for it.
FIGURES: tuple[Callable[[Comparison, Sequence[str]], Figure | None], ...] = (
    _intervals,
    _heatmap,
    _rates,
    *(partial(_pareto, cost) for cost in COSTS),
    _stability,
    _ranks,
    _curves,
)
