"""The runs of a window as far as they are, and how someone wants to see them."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from neatlab.config import RunConfig
from neatlab.dashboard.shared.choices import PARTS
from neatlab.dashboard.train.feed import Feed
from neatlab.plots.looks import looks
from neatlab.runs.results import Results
from neatlab.runs.run import Run
from neatlab.runtime.numbers import number
from neatlab.tasks import Metric

COUNTS = ("adapter_params", "trainable_params")


class ViewState(NamedTuple):
    """How someone wants to see the runs.

    Args:
        layer: Whose spectrum; None for the first.
        at: Step of the cursor; None for the last.
        arm: Whose heat map; None for the last arm.
    """

    layer: str | None = None
    at: int | None = None
    arm: str | None = None


class RunsSnapshot(NamedTuple):
    """The runs of a window, read at one moment.

    Args:
        arms: All arms asked for.
        runs: Those that have begun.
        results: Their tables.
        counts: A row an arm with its parameter counts, known from the start.
        layers: The adapted layers that have a spectrum.
        total: Steps asked for.
        size: How many events there are, and of them spectra: what charts are drawn anew for.
        key: Names the runs asked for, begun or not.
    """

    arms: list[str]
    runs: list[Run]
    results: Results
    counts: pd.DataFrame
    layers: list[str]
    total: int
    size: tuple[int, int]
    key: str

    @property
    def metric(self) -> Metric:
        """What the runs are judged by."""
        return self.runs[0].config.spec.metric

    def shown_layer(self, layer: str | None) -> str | None:
        """The layer asked for if the runs have it, else their first."""
        return layer if layer in self.layers else next(iter(self.layers), None)

    def shown_arm(self, arm: str | None) -> str | None:
        """The arm asked for if it is one of the runs', else the last."""
        return arm if arm in self.arms else next(reversed(self.arms), None)


def read_runs(configs: Sequence[RunConfig], feed: Feed, ended_only: bool = False) -> RunsSnapshot:
    """Read the runs as far as they are.

    Args:
        configs: The runs asked for.
        feed: Where they are read.
        ended_only: Leave out those that have not ended: what is there is of an earlier training.

    Returns:
        The snapshot.
    """
    return snapshot(
        configs, [run for config in configs if (run := feed.read(config)) and (run.summary or not ended_only)]
    )


def snapshot(configs: Sequence[RunConfig], runs: list[Run]) -> RunsSnapshot:
    """The snapshot of runs that were read.

    Args:
        configs: The runs asked for, one an arm.
        runs: Those of them that have begun.
    """
    spectra = [event for run in runs for event in run.events if event["type"] == "SpectrumMeasured"]
    return RunsSnapshot(
        [config.arm.label for config in configs],
        runs,
        Results(runs),
        _counts(runs),
        list(dict.fromkeys(str(event["layer"]) for event in spectra)),
        configs[0].training.steps or max(map(steps_done, runs), default=0) if configs else 0,
        (sum(len(run.events) for run in runs), len(spectra)),
        "-".join(config.run_id for config in configs),
    )


def _counts(runs: Sequence[Run]) -> pd.DataFrame:
    rows = [{"arm": run.config.arm.label, **{name: started(run).get(name) for name in COUNTS}} for run in runs]
    return pd.DataFrame(rows, columns=["arm", *COUNTS])


def started(run: Run) -> Mapping[str, Any]:
    """The run's first event; empty before it."""
    return next((event for event in run.events if event["type"] == "RunStarted"), {})


def last_evaluation(run: Run, split: str, at: int | None = None) -> Mapping[str, Any]:
    """The latest evaluation on a split, up to step `at` where there is one; empty before the first."""
    return next(
        (
            event
            for event in reversed(run.events)
            if event["type"] == "Evaluated" and event["split"] == split and (at is None or event["step"] <= at)
        ),
        {},
    )


def steps_done(run: Run) -> int:
    """Training steps so far."""
    return next((event["step"] for event in reversed(run.events) if event["type"] == "Step"), 0)


def letter(index: int) -> str:
    """An arm's letter on the page."""
    return PARTS[index].upper()


def moment(at: int | None) -> str:
    """Where a caption's numbers are from: the cursor's step, or now."""
    return "now" if at is None else f"at step {at:,}"


def each_arm(arms: Sequence[str], values: Mapping[str, Any], digits: int) -> str:
    """A number an arm, as in "LoRA r 4: 0.512; NEAT r 4, depth 2: 0.601"."""
    return "; ".join(f"{look.name}: {number(values.get(arm), digits)}" for arm, look in looks(arms).items())
