"""Runs from outside as sources: their adapter folder, and the base that they name where it is here."""

from neatlab.errors import BadInput
from neatlab.inspection.adapter_folder import is_adapter, read_adapter
from neatlab.inspection.source import Source
from neatlab.inspection.sources import open_source
from neatlab.inspection.weights import Weights
from neatlab.runs.outside import OutsideRun
from neatlab.runs.run import Run


def outside_source(run: Run, config: OutsideRun) -> Source:
    """What a training outside neatlab has trained.

    Args:
        run: A run from outside that has ended.
        config: Its configuration.

    Raises:
        BadInput: It has not ended, has no adapter, or one that needs a base that is not here.
    """
    if run.status != "finished":
        raise BadInput(f"run {run.run_id} is {run.status}; only a finished run has weights to load")
    folder = run.path / "adapter"
    if not is_adapter(folder):
        raise BadInput(f"run {run.run_id} keeps no adapter: inspect the training's own checkpoint, with --base")
    base = outside_base(config)
    if base is None and read_adapter(folder).needs_weight:
        where = f"{config.about.model!r} is not here" if config.about.model else "the run names none"
        raise BadInput(f"ΔW of this adapter depends on its base, and {where}: inspect {folder} with --base")
    source = open_source(folder, base)
    source.title = config.arm.label
    return source


def outside_base(config: OutsideRun) -> str | None:
    """The folder, or the name in the local hub cache, of the base that a run from outside names; None if not here."""
    try:
        return config.about.model if config.about.model and Weights(config.about.model).layers else None
    except BadInput:
        return None
