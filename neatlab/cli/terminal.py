"""What a terminal shows: tables, and progress bars on standard error."""

import sys
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from tqdm import tqdm

from neatlab.analysis.quantities import QUANTITIES
from neatlab.cli.columns import aligned
from neatlab.config import RunConfig
from neatlab.events import Event, RunFailed, RunFinished, RunPruned, RunStarted, Step
from neatlab.runtime.numbers import DASH, bytes_number, number

if TYPE_CHECKING:
    from neatlab.inspection.trajectory import Stage, Trajectory
    from neatlab.runs.arms import ArmResult
    from neatlab.runs.comparison import Comparison


class ProgressBar:
    """A bar a run on standard error, showing the loss; called with each event."""

    def __init__(self) -> None:
        self._bar: tqdm | None = None

    def __call__(self, config: RunConfig, event: Event) -> None:
        """Show one event."""
        match event:
            case RunStarted():
                self._close()
                name = f"{config.arm.label} seed {config.seed}"
                self._bar = tqdm(total=config.training.steps, desc=name, unit="step", leave=False)
            case Step() if self._bar is not None:
                self._bar.set_postfix(loss=f"{event.loss:.3f}", refresh=False)
                self._bar.update()
            case RunFailed():
                tqdm.write(file=sys.stderr, s=f"{config.arm.label} seed {config.seed}: {event.error}")

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._close()


class SweepProgressBar:
    """One bar for all runs of a sweep, in steps; called with each event, also out of order.

    Args:
        todo: Runs to do, as far as they are known; some may be pruned, and a search adds its own.
    """

    def __init__(self, todo: Sequence[RunConfig]) -> None:
        self._known, self._ended, self._seen = {config.run_id for config in todo}, 0, dict[str, int]()
        steps, name = sum(config.training.steps for config in todo), f"0/{len(todo)} runs"
        self._bar = tqdm(total=steps, unit="step", desc=name, leave=False)

    def __call__(self, config: RunConfig, event: Event) -> None:
        """Count one event."""
        step = getattr(event, "step", 0)
        if config.run_id not in self._known:
            self._known.add(config.run_id)
            self._bar.total = (self._bar.total or 0) + config.training.steps
        self._bar.update(max(0, step - self._seen.get(config.run_id, 0)))
        self._seen[config.run_id] = max(step, self._seen.get(config.run_id, 0))
        if isinstance(event, RunFinished | RunFailed | RunPruned):
            self._ended += 1
            self._bar.set_description(f"{self._ended}/{len(self._known)} runs")
        if isinstance(event, RunFailed):
            tqdm.write(file=sys.stderr, s=f"{config.arm.label} seed {config.seed}: {event.error}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bar.close()


def comparison_text(comparison: "Comparison") -> str:
    """The decision, a table of the arms, and what is shown of their scores and of what they left of the base."""
    said = [comparison.headline(), *comparison.verdict(), *_of_base(comparison), comparison.assumptions()]
    parts = [comparison.decision(), arms_table(comparison.arms()), "\n".join(filter(None, said))]
    return "\n\n".join(filter(None, parts))


def _of_base(comparison: "Comparison") -> list[str]:
    """What is shown of the base's own task; that nothing is, in one line."""
    judged = comparison.base_differences()
    shown = [one.sentence for one in judged if one.verdict != "undecided"]
    metric = comparison.base_metric
    return shown or [f"In {metric.name} nothing is shown between them."] * bool(judged) if metric else []


def arms_table(arms: "Sequence[ArmResult]") -> str:
    """Arms as aligned columns: score and what is left of the base's own task with 95 % intervals, and what it costs."""
    from neatlab.runs.comparison import BASE

    score = f"{arms[0].metric} (95 % interval)"
    head = ["arm", "adapter params", "trainable params", score, "s/step", "memory", "eff. rank", "served as LoRA"]
    base = any(arm.base_change for arm in arms)
    rows = [head + [BASE] * base] + [
        [
            arm.arm,
            number(arm.adapter_params, 0),
            number(arm.trainable_params, 0),
            _with_interval(number(arm.mean), *arm.ci95),
            number(arm.seconds_per_step),
            bytes_number(arm.saved_bytes),
            number(arm.effective_rank, 2),
            arm.served_as_lora,
            *([_with_interval(arm.base_change or DASH, *arm.base_ci95, digits=3)] * base),
        ]
        for arm in arms
    ]
    return aligned(rows)


def _with_interval(text: str, low: float, high: float, digits: int = 4) -> str:
    """One seed gives no interval."""
    return f"{text} [{low:.{digits}f}, {high:.{digits}f}]" if low == low else text


class LayerProgressBar:
    """A bar of layers on standard error; called before each."""

    def __init__(self) -> None:
        self._bar = tqdm(unit="layer", leave=False, delay=0.5)

    def __call__(self, done: int, total: int, layer: str) -> None:
        """Show how far it is."""
        self._bar.total = total
        self._bar.set_description(layer, refresh=False)
        self._bar.update(done - self._bar.n)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bar.close()


INSPECTED = (
    "rank",
    "energy_rank_90",
    "effective_rank",
    "stable_rank",
    "norm",
    "relative_norm",
    "amplification",
    "overlap_left",
    "overlap_right",
    "intruders",
)


def inspection_table(layers: Sequence[Mapping[str, Any]]) -> str:
    """One adapter's layers as aligned columns; a dash where a quantity does not exist."""
    shown = [{**layer, "shape": f"{layer['d_out']} × {layer['d_in']}"} for layer in layers]
    columns = {name: QUANTITIES[name] for name in INSPECTED if any(name in layer for layer in shown)}
    rows = [
        [layer["layer"], layer["shape"], *(_cell(layer.get(name), column.spec) for name, column in columns.items())]
        for layer in shown
    ]
    return aligned([["layer", "d_out × d_in", *(column.heading for column in columns.values())], *rows])


def _cell(value: Any, spec: str) -> str:
    return DASH if value is None or value != value else spec.format(value)


def trajectory_text(trajectory: "Trajectory") -> str:
    """A line a checkpoint, all layers together, and a line a layer, from the first checkpoint to the last."""
    head = ["step", "‖ΔW‖", "moved", "cosine before", "cosine last", "eff. rank", "stable rank"]
    stages = [
        [f"{s.step:,}", *(_cell(value, "{:.4g}") for value in [*vars(s).values()][1:])] for s in trajectory.stages
    ]
    heading = ["layer", "‖ΔW‖", "way", "cosine of first and last", "eff. rank"]
    layers = [[name, *_first_and_last(stages)] for name, stages in trajectory.by_layer.items()]
    return "\n".join([trajectory.title, aligned([head, *stages]), "", aligned([heading, *layers])])


def _first_and_last(stages: "Sequence[Stage]") -> list[str]:
    first, last = stages[0], stages[-1]
    return [
        f"{_cell(first.norm, '{:.4g}')} → {_cell(last.norm, '{:.4g}')}",
        f"{sum(stage.moved for stage in stages):.4g}",
        _cell(first.cosine_last, "{:.2f}"),
        f"{_cell(first.effective_rank, '{:.2f}')} → {_cell(last.effective_rank, '{:.2f}')}",
    ]
