"""Where an exported adapter comes from: a small file beside it names the task, and with it the base model."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
from safetensors.torch import save_file

from neatlab.inspection.adapter_folder import is_adapter, read_adapter
from neatlab.runs.run import Run
from neatlab.tasks import TASKS, TaskSpec

ORIGIN = "neatlab.json"
MAX_ORIGIN_BYTES = 2**14


def write_origin(run: Run, folder: Path) -> None:
    """Say in an adapter's folder which run it is of, and on which task it was trained."""
    config = run.config
    said = {"run": run.run_id, "task": config.spec.label, "arm": config.arm.label, "seed": config.seed}
    (folder / ORIGIN).write_bytes(orjson.dumps(said, option=orjson.OPT_INDENT_2))


def origin_task(folder: Path) -> TaskSpec | None:
    """The task on whose base an adapter stands that cannot be read without it, where that is one of the lab's own.

    Args:
        folder: The adapter's; it may come from anywhere.

    Returns:
        The task; None where ΔW does not depend on W₀, or no task that the lab knows is named: a base is asked for then.

    Raises:
        BadInput: The adapter cannot be read.
    """
    task = named_task(folder)
    return task if task and is_adapter(folder) and read_adapter(folder).needs_weight else None


def named_task(folder: Path) -> TaskSpec | None:
    """The task that an adapter's folder says it was trained on, where that is one of the lab's own."""
    label = _label(folder / ORIGIN)
    offered = [TaskSpec(name, options) for name, row in TASKS.items() for options in row.choices.values()]
    return next((task for task in offered if task.label == label), None)


def _label(file: Path) -> Any:
    """What a file says of the task, if it can be read at all."""
    if not file.is_file() or file.stat().st_size > MAX_ORIGIN_BYTES:
        return None
    try:
        said: Any = orjson.loads(file.read_bytes())
    except orjson.JSONDecodeError:
        return None
    return said.get("task") if isinstance(said, dict) else None


def base_name(task: TaskSpec) -> str:
    """A task's base model in words."""
    return f"base of task {task}"


@contextmanager
def task_weights(task: TaskSpec) -> Iterator[Path]:
    """The weights of a task's base model, in a file that is gone when the block ends."""
    with tempfile.TemporaryDirectory(prefix="neatlab-base-") as temporary:
        file = Path(temporary) / "model.safetensors"
        model = task.load().base_model()
        save_file({name: weight.contiguous().clone() for name, weight in model.state_dict().items()}, file)
        yield file
