"""What the page shows, read from the store: charts, their summaries in words, and the table."""

import html
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from neatlab import plots
from neatlab.config import RunConfig
from neatlab.dashboard.live_plot import shown
from neatlab.results import Results
from neatlab.store import Run, Store, read_run
from neatlab.tasks import TASKS

DASH = "–"


class Charts(NamedTuple):
    """Values of the four live charts; None for an empty one."""

    learning: str | None
    spectrum: str | None
    ranks: str | None
    parameters: str | None


NO_CHARTS = Charts(None, None, None, None)


class Picture(NamedTuple):
    """The state of the runs of a page.

    Args:
        arms: All arms asked for; their order gives the colours.
        runs: Those that have begun.
        results: Their tables.
        counts: A row an arm with its parameter counts, known from the start.
        layers: The adapted layers that have a spectrum.
        measured: How many spectra there are.
        key: Names the runs asked for, begun or not.
    """

    arms: list[str]
    runs: list[Run]
    results: Results
    counts: pd.DataFrame
    layers: list[str]
    measured: int
    key: str


def picture(configs: Sequence[RunConfig], begun: Collection[str], store: Store) -> Picture:
    """Read the runs as far as they are.

    Args:
        configs: The runs asked for.
        begun: Ids of those that are to be shown; of another, an old unfinished directory may be there.
        store: Where they are.

    Raises:
        StoreError: A run is damaged.
    """
    runs = [read_run(store.root / config.run_id) for config in configs if config.run_id in begun]
    events = [event for run in runs for event in run.events if event["type"] == "SpectrumMeasured"]
    layers = list(dict.fromkeys(str(event["layer"]) for event in events))
    arms = [config.arm.label for config in configs]
    return Picture(arms, runs, Results(runs), _counts(runs), layers, len(events), "-".join(c.run_id for c in configs))


def charts(seen: Picture, layer: str | None) -> Charts:
    """Draw them all.

    Args:
        seen: The runs.
        layer: The layer of the spectrum; None for the first.
    """
    layer, spectra = shown_layer(seen, layer), seen.results.spectra()
    spectrum = plots.spectrum(spectra, layer, arms=seen.arms)
    ranks = plots.effective_rank(spectra, layer, seen.arms).update_xaxes(range=_whole_way(seen))
    parameters = plots.parameter_counts(seen.counts, seen.arms)
    # uirevision: Plotly keeps the zoom while it stays the same, so other runs or another layer start unzoomed.
    for figure, kept in ((spectrum, f"{seen.key}-{layer}"), (ranks, f"{seen.key}-{layer}"), (parameters, seen.key)):
        figure.update_layout(uirevision=kept)
    return Charts(
        learning_chart(seen),
        shown(spectrum, _spectrum_words(seen, spectra, layer)),
        shown(ranks, _rank_words(seen, spectra, layer)),
        shown(parameters, _count_words(seen)),
    )


def learning_chart(seen: Picture) -> str:
    """Draw the one that changes with every step."""
    metric = TASKS[seen.runs[0].config.task].metric.name
    figure = plots.learning_curves(seen.results.curves(), metric, seen.arms)
    figure.update_xaxes(range=_whole_way(seen)).update_layout(uirevision=seen.key)
    return shown(figure, _learning_words(seen, metric))


def _whole_way(seen: Picture) -> list[float]:
    """All steps from the start on: the axis stays while the lines grow."""
    total = seen.runs[0].config.training.steps
    return [-0.03 * total, 1.03 * total]


def shown_layer(seen: Picture, layer: str | None) -> str | None:
    """The layer asked for if the runs have it, else their first."""
    return layer if layer in seen.layers else next(iter(seen.layers), None)


def _counts(runs: Sequence[Run]) -> pd.DataFrame:
    rows = []
    for run in runs:
        started = next((event for event in run.events if event["type"] == "RunStarted"), {})
        counts = {name: started.get(name) for name in ("adapter_params", "trainable_params")}
        rows.append({"arm": run.config.arm.label, **counts})
    return pd.DataFrame(rows, columns=["arm", "adapter_params", "trainable_params"])


def steps_done(run: Run) -> int:
    """Training steps so far."""
    return max((event["step"] for event in run.events if event["type"] == "Step"), default=0)


def _last(run: Run, split: str) -> Mapping[str, Any]:
    found = [e for e in run.events if e["type"] == "Evaluated" and e["split"] == split]
    return found[-1] if found else {}


def _each(seen: Picture, values: Mapping[str, Any], digits: int) -> str:
    """ "A 0.512, B 0.601"."""
    return ", ".join(f"{name} {number(values.get(arm), digits)}" for name, arm in zip("AB", seen.arms, strict=True))


def _learning_words(seen: Picture, metric: str) -> str:
    latest = {run.config.arm.label: _last(run, "validation") for run in seen.runs}
    losses = {arm: event.get("loss") for arm, event in latest.items()}
    scores = {arm: event.get("metric") for arm, event in latest.items()}
    where = "Markers: validation split; thin lines: training batches."
    return f"Validation loss: {_each(seen, losses, 4)}. Validation {metric}: {_each(seen, scores, 4)}. {where}"


def _spectrum_words(seen: Picture, spectra: pd.DataFrame, layer: str | None) -> str:
    data = plots.spectrum_data(spectra, layer)
    if not data.spectra:
        return "Neither arm changes a layer's weight."
    largest = {line.arm: line.mean[0] for line in data.spectra}
    return f"{data.layer}, step {_each(seen, data.steps, 0)}. Largest singular value: {_each(seen, largest, 3)}."


def _rank_words(seen: Picture, spectra: pd.DataFrame, layer: str | None) -> str:
    latest = {line.arm: line.mean[-1] for line in plots.effective_rank_data(spectra, layer).ranks}
    ranks = {run.config.arm.label: run.config.arm.options.get("rank") for run in seen.runs}
    return f"Now: {_each(seen, latest, 2)}. Rank set: {_each(seen, ranks, 0)}. No value while ΔW = 0."


def _count_words(seen: Picture) -> str:
    data = plots.parameter_data(seen.counts)
    adapter, head = (dict(zip(data.arms, counts, strict=True)) for counts in (data.adapter, data.head))
    return f"Adapter: {_each(seen, adapter, 0)}. Head: {_each(seen, head, 0)}."


HEAD = ("arm", "run", "adapter params", "trainable params", "validation", "test", "s/step", "effective rank")


def table(seen: Picture, stored: Collection[str] = ()) -> str:
    """The summary as an HTML table.

    Args:
        seen: The runs.
        stored: Ids of runs that were in the store before.
    """
    metric = TASKS[seen.runs[0].config.task].metric.name
    names = [f"{name} {metric}" if name in ("validation", "test") else name for name in HEAD]
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    rows = "".join(_row(index, run, seen, stored) for index, run in enumerate(seen.runs))
    return (
        f'<div class="scroll"><table class="summary"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _row(index: int, run: Run, seen: Picture, stored: Collection[str]) -> str:
    counts = seen.counts.iloc[index]
    cells = [
        f"{run.run_id}<br><small>{_state(run, stored)}</small>",
        number(counts["adapter_params"], 0),
        number(counts["trainable_params"], 0),
        number(_last(run, "validation").get("metric"), 4),
        number(run.summary.get("metric"), 4),
        number(run.summary.get("seconds_per_step"), 4),
        number(run.summary.get("effective_rank"), 2),
    ]
    name = "AB"[seen.arms.index(run.config.arm.label)]
    swatch = f'<span class="swatch swatch-{name.lower()}"></span>'
    arm = f'<th scope="row">{swatch}{name}: {html.escape(run.config.arm.label)}</th>'
    return f'<tr data-run="{run.run_id}">{arm}{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'


def _state(run: Run, stored: Collection[str]) -> str:
    if run.status == "failed":
        return html.escape(str(run.summary.get("error")))
    if run.status == "finished":
        return "from the runs folder" if run.run_id in stored else "finished"
    stopped = "stopped at " if run.status == "interrupted" else ""
    return f"{stopped}step {steps_done(run)} of {run.config.training.steps}"


def number(value: Any, digits: int) -> str:
    """A number for people; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return DASH
    return f"{value:,.{digits}f}"
