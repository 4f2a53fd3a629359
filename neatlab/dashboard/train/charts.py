"""What the Train tab shows of its runs, drawn from their events."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import pandas as pd

from neatlab import plots
from neatlab.config import RunConfig
from neatlab.dashboard.shared.live_plot import shown
from neatlab.dashboard.train import captions
from neatlab.dashboard.train.feed import Feed
from neatlab.dashboard.train.other_layers import other_layers
from neatlab.runs.results import Results
from neatlab.runs.run import Run
from neatlab.tasks import Metric, metric_of

T = TypeVar("T")


class Charts(NamedTuple):
    """Values of the live charts, and what those of one layer would show of the others; None for an empty one."""

    learning: str | None = None
    layers: str | None = None
    spectrum: str | None = None
    map: str | None = None
    parameters: str | None = None
    others: str | None = None


class Look(NamedTuple):
    """How someone wants to see the runs.

    Args:
        layer: Whose spectrum; None for the first.
        at: Step of the cursor; None for the last.
        arm: Whose heat map; None for the last arm.
    """

    layer: str | None = None
    at: int | None = None
    arm: str | None = None


class Picture(NamedTuple):
    """The state of the runs of a page.

    Args:
        arms: All arms asked for; their order gives the colours.
        runs: Those that have begun.
        results: Their tables.
        counts: A row an arm with its parameter counts, known from the start.
        layers: The adapted layers that have a spectrum.
        steps: Steps at which spectra were measured.
        total: Steps asked for.
        size: How many events there are, and of them spectra: what charts are drawn anew for.
        key: Names the runs asked for, begun or not.
    """

    arms: list[str]
    runs: list[Run]
    results: Results
    counts: pd.DataFrame
    layers: list[str]
    steps: list[int]
    total: int
    size: tuple[int, int]
    key: str

    @property
    def metric(self) -> Metric:
        """What the runs are judged by."""
        config = self.runs[0].config
        return metric_of(config.task, config.task_options)


def picture(configs: Sequence[RunConfig], feed: Feed, ended_only: bool = False) -> Picture:
    """Read the runs as far as they are.

    Args:
        configs: The runs asked for.
        feed: Where they are read.
        ended_only: Leave out those that have not ended: what is there is of an earlier training.
    """
    runs = [run for config in configs if (run := feed.read(config)) and (run.summary or not ended_only)]
    spectra = [event for run in runs for event in run.events if event["type"] == "SpectrumMeasured"]
    return Picture(
        [config.arm.label for config in configs],
        runs,
        Results(runs),
        _counts(runs),
        list(dict.fromkeys(str(event["layer"]) for event in spectra)),
        sorted({int(event["step"]) for event in spectra}),
        configs[0].training.steps if configs else 0,
        (sum(len(run.events) for run in runs), len(spectra)),
        "-".join(config.run_id for config in configs),
    )


class Drawings:
    """The charts of one window; each is drawn anew only when something that it shows has changed."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[Hashable, Any]] = {}

    def charts(self, seen: Picture, look: Look, names: Sequence[str] = Charts._fields) -> Charts:
        """Draw what has changed.

        Args:
            seen: The runs.
            look: How to see them.
            names: The charts asked for; the others are None.
        """
        measured, layer, arm = (seen.key, seen.size[1]), shown_layer(seen, look.layer), shown_arm(seen, look.arm)

        def spectra() -> pd.DataFrame:
            return self._fresh("spectra", measured, seen.results.spectra)

        made: dict[str, tuple[Hashable, Callable[[], str]]] = {
            "learning": ((seen.key, seen.size, look.at), lambda: _learning(seen, look)),
            "layers": ((measured, layer, look.at), lambda: _layers(seen, look, spectra(), layer)),
            "spectrum": ((measured, layer, look.at), lambda: _spectrum(seen, look, spectra(), layer)),
            "map": ((measured, arm, look.at), lambda: _map(seen, look, spectra(), arm)),
            "parameters": ((seen.key, len(seen.counts.dropna())), lambda: _parameters(seen)),
            "others": ((measured, look.at), lambda: other_layers(spectra(), seen.arms, _ranks(seen.runs), look.at)),
        }
        return Charts(**{name: self._fresh(name, *made[name]) for name in names})

    def _fresh(self, name: str, depends: Hashable, make: Callable[[], T]) -> T:
        """What `make` gives, from before where that depended on the same."""
        kept = self._kept.get(name)
        if kept is None or kept[0] != depends:
            kept = self._kept[name] = (depends, make())
        found: T = kept[1]
        return found


def shown_layer(seen: Picture, layer: str | None) -> str | None:
    """The layer asked for if the runs have it, else their first."""
    return layer if layer in seen.layers else next(iter(seen.layers), None)


def shown_arm(seen: Picture, arm: str | None) -> str | None:
    """The arm asked for if it is one of the runs', else the last."""
    return arm if arm in seen.arms else next(reversed(seen.arms), None)


def steps_done(run: Run) -> int:
    """Training steps so far."""
    return next((event["step"] for event in reversed(run.events) if event["type"] == "Step"), 0)


def _learning(seen: Picture, look: Look) -> str:
    figure = plots.learning_curves(seen.results.curves(), seen.metric.name, seen.arms, rate=True)
    _over_steps(figure, seen, look)
    return shown(figure.update_layout(uirevision=seen.key), captions.learning(seen.arms, seen.runs, seen.metric))


def _layers(seen: Picture, look: Look, spectra: pd.DataFrame, layer: str | None) -> str:
    figure = plots.layer_curves(spectra, layer, arms=seen.arms)
    _over_steps(figure, seen, look)
    said = captions.layers(seen.arms, plots.layer_curve_data(spectra, layer, arms=seen.arms), _ranks(seen.runs))
    return shown(figure.update_layout(uirevision=f"{seen.key}-{layer}"), said, layer)


def _spectrum(seen: Picture, look: Look, spectra: pd.DataFrame, layer: str | None) -> str:
    # uirevision: Plotly keeps the zoom while it stays the same, so other runs or another layer start unzoomed.
    figure = plots.spectrum(spectra, layer, look.at, seen.arms).update_layout(uirevision=f"{seen.key}-{layer}")
    return shown(figure, captions.spectrum(seen.arms, plots.spectrum_data(spectra, layer, look.at, seen.arms)), layer)


def _map(seen: Picture, look: Look, spectra: pd.DataFrame, arm: str | None) -> str:
    figure = plots.layer_map(spectra, arm).update_layout(uirevision=f"{seen.key}-{arm}")
    return shown(_over_steps(figure, seen, look), captions.layer_map(plots.layer_map_data(spectra, arm), look.at))


def _parameters(seen: Picture) -> str:
    figure = plots.parameter_counts(seen.counts, seen.arms).update_layout(uirevision=seen.key)
    return shown(figure, captions.parameters(seen.arms, seen.runs))


def _over_steps(figure: Any, seen: Picture, look: Look) -> Any:
    """All steps from the start on, so that the axis stays while the lines grow; the cursor where there is one."""
    figure.update_xaxes(range=[-0.03 * seen.total, 1.03 * seen.total])
    return figure if look.at is None else plots.mark_step(figure, look.at)


def _counts(runs: Sequence[Run]) -> pd.DataFrame:
    rows = []
    for run in runs:
        begun = started(run)
        counts = {name: begun.get(name) for name in ("adapter_params", "trainable_params")}
        rows.append({"arm": run.config.arm.label, **counts})
    return pd.DataFrame(rows, columns=["arm", "adapter_params", "trainable_params"])


def started(run: Run) -> Mapping[str, Any]:
    """The run's first event; empty before it."""
    return next((event for event in run.events if event["type"] == "RunStarted"), {})


def _ranks(runs: Sequence[Run]) -> dict[str, Any]:
    return {run.config.arm.label: run.config.arm.options.get("rank") for run in runs}
