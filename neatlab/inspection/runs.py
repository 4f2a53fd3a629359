"""Runs of this lab as sources, and several arms' runs compared."""

from collections.abc import Sequence

from neatlab.adapters.attach import Adapted
from neatlab.errors import BadInput
from neatlab.experiments.trained import load_trained
from neatlab.inspection.comparison import AdapterComparison, compare_sources
from neatlab.inspection.opening import DIRECTIONS, OnLayer, inspect_source
from neatlab.inspection.outside import outside_source
from neatlab.inspection.results import Inspection
from neatlab.inspection.source import Source
from neatlab.inspection.sources import ModelSource
from neatlab.runs.outside import OutsideRun
from neatlab.runs.run import Run


def run_source(run: Run) -> Source:
    """What a finished run trained, ΔW against the base that it started from.

    Args:
        run: A finished run of any method with a ΔW, full fine-tuning among them.

    Raises:
        BadInput: The run is not finished, or trained no layer.
        StoreError: Its weights are missing or damaged.
    """
    if isinstance(run.config, OutsideRun):
        return outside_source(run, run.config)
    return _source(run, load_trained(run))


def _source(run: Run, adapted: Adapted) -> ModelSource:
    arm = run.config.arm
    deltas = adapted.deltas()
    if not deltas:
        raise BadInput(f"a {arm.method} run changes no layer, so there is no ΔW to inspect")
    settings = {name: value for name, value in arm.options.items() if value is not None}
    return ModelSource(arm.label, arm.method, settings, deltas, adapted.layers, list(adapted.head), {}, run.config.task)


def inspect_run(run: Run, *, directions: int = DIRECTIONS, on_layer: OnLayer | None = None) -> Inspection:
    """Measure what a run of this lab did to the weights.

    Args:
        run: A finished run.
        directions: Leading directions of W₀ to compare with; 0 for none.
        on_layer: Called before each layer.

    Raises:
        BadInput: As `run_source`.
    """
    return inspect_source(run_source(run), directions=directions, on_layer=on_layer)


def compare_runs(
    runs: Sequence[Run], *, directions: int = DIRECTIONS, on_layer: OnLayer | None = None
) -> AdapterComparison:
    """Runs on one task, compared pair by pair, such as LoRA, NEAT with a linear activation, NEAT and full fine-tuning.

    Args:
        runs: Finished runs of one task, one an arm.
        directions: Leading directions of W₀ to compare each with; 0 for none.
        on_layer: Called before each layer.

    Raises:
        BadInput: Runs of different tasks, or twice the same arm.
    """
    tasks = {(run.config.task, str(run.config.task_options)) for run in runs}
    if len(tasks) > 1:
        raise BadInput(f"runs of {len(tasks)} different tasks; ΔW can be compared on one base only")
    return compare_sources([run_source(run) for run in runs], directions=directions, on_layer=on_layer)
