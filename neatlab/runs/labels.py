"""Which runs count for one arm, and which arms may be compared."""

from collections.abc import Sequence

from neatlab.config import Arm, RunConfig
from neatlab.runs.run import Run

AT = " @ "
SEARCHED = ("scaling", "alpha")  # what a search may choose in addition to the learning rate


def labels(runs: Sequence[Run]) -> dict[str, str]:
    """Run id → its arm, followed by the settings in which these runs differ: "lora:rank=4 @ kind=low-rank"."""
    settings = {run.run_id: _settings(run) for run in runs}
    pairs = {pair for setting in settings.values() for pair in setting.items()}
    names = [name for name, _ in pairs]
    varied = {name for name in names if names.count(name) > 1}
    suffixes = {i: ",".join(f"{n}={v}" for n, v in s.items() if n in varied) for i, s in settings.items()}
    return {run.run_id: AT.join(filter(None, [run.config.arm.label, suffixes[run.run_id]])) for run in runs}


def setting(label: str) -> str:
    """What follows the arm in a label; arms are comparable where it is the same."""
    return label.partition(AT)[2]


def is_setting(config: RunConfig, other: RunConfig) -> bool:
    """Whether two runs have the same task and learn from the same share of its data."""
    return (config.task_options, config.training.train_size) == (other.task_options, other.training.train_size)


def is_arm(label: str, wanted: str) -> bool:
    """Whether `wanted` names the arm of `label`, with its settings or without."""
    return wanted in (label, label.partition(AT)[0])


def family(arm: Arm) -> str:
    """The arm's label without what a search chooses: learning rate and scaling."""
    options = {name: value for name, value in arm.options.items() if name not in SEARCHED}
    return arm.model_copy(update={"lr": None, "options": options}).label


def variant(arm: Arm) -> str:
    """The arm's label without its learning rate."""
    return arm.model_copy(update={"lr": None}).label


def _settings(run: Run) -> dict[str, str]:
    """What arms must share to be comparable; the learning rate belongs to the arm."""
    training = run.config.training.model_dump(exclude={"lr"})
    return {name: str(value) for name, value in {**run.config.spec.shown_options, **training}.items()}
