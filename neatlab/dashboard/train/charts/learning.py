"""Loss, metric and learning rate over the steps."""

from collections.abc import Hashable, Sequence

from neatlab import plots
from neatlab.dashboard.shared.live_plot import Chart, shown
from neatlab.dashboard.train.charts.base import Drawing, LiveChart
from neatlab.dashboard.train.snapshot import each_arm, last_evaluation, moment
from neatlab.runs.run import Run
from neatlab.tasks import Metric

HINT = (
    "Above, the loss: lower is better. The thin line is the batch just trained on and jumps; the markers are the "
    "validation split, which nothing is trained on. Below it the task's metric. When the thin line falls on and the "
    "markers rise again, the arm learns its training data by heart."
)


def caption(arms: Sequence[str], runs: Sequence[Run], metric: Metric, at: int | None = None) -> str:
    """Loss and metric on the validation split, as of the cursor."""
    latest = {run.config.arm.label: last_evaluation(run, "validation", at) for run in runs}
    losses = {arm: event.get("loss") for arm, event in latest.items()}
    scores = {arm: event.get("metric") for arm, event in latest.items()}
    legend = "Markers: validation split; thin lines: training batches."
    better = "higher" if metric.higher_is_better else "lower"
    return (
        f"Validation loss {moment(at)}: {each_arm(arms, losses, 4)}. Validation {metric.name} ({better} is better): "
        f"{each_arm(arms, scores, 4)}. {legend}"
    )


def _depends(drawing: Drawing) -> Hashable:
    return drawing.runs.key, drawing.runs.size, drawing.view.at


def _draw(drawing: Drawing) -> str:
    runs = drawing.runs
    figure = plots.learning_curves(runs.results.curves(), runs.metric.name, runs.arms)
    drawing.over_steps(figure).update_layout(uirevision=runs.key)
    return shown(figure, caption(runs.arms, runs.runs, runs.metric, drawing.view.at))


CHART: LiveChart = LiveChart(
    Chart("learning", "Loss and metric", "The arms' curves, while they train.", 460, HINT, term="splits"),
    _depends,
    _draw,
)
