"""A run from outside in another form: its adapter as it was saved, or made anew on the base that it names."""

import shutil

from neatlab.adapters.folders import whole_folder
from neatlab.adapters.forms import Errors
from neatlab.adapters.methods import METHODS
from neatlab.errors import BadInput
from neatlab.export.folders import open_adapted
from neatlab.inspection.adapter_folder import is_adapter, read_adapter
from neatlab.inspection.outside import outside_base
from neatlab.runs.outside import OutsideRun
from neatlab.runs.run import Run
from neatlab.runtime.files import PathLike
from neatlab.tasks.pretrained import model_folder

AS_SAVED = {"LORA": "lora", "NEAT": "neat", "PEANUT": "peanut"}  # type of adapter → the form that its files are in


def export_outside(run: Run, config: OutsideRun, format: str, out: PathLike) -> Errors:
    """Write the adapter of a training outside neatlab in a form.

    Args:
        run: A finished run of it.
        config: Its configuration.
        format: A form that the method has.
        out: The folder to write; it must not exist yet, or be empty.

    Returns:
        As `export`.

    Raises:
        BadInput: A run without an adapter, or a base that is asked for and is not here.
    """
    folder = run.path / "adapter"
    if run.status != "finished" or not is_adapter(folder):
        raise BadInput(f"run {run.run_id} is {run.status} and holds no adapter")
    adapter, row = read_adapter(folder), METHODS[config.arm.method]
    if AS_SAVED.get(adapter.type) == format and not row.takes_from_weight:
        with whole_folder(out) as temporary:
            shutil.copytree(folder, temporary, dirs_exist_ok=True)
        return {}
    base = outside_base(config)
    if base is None or row.takes_from_weight:
        where = "starts from factors of its base" if base else f"its base {config.about.model!r} is not here"
        raise BadInput(f"run {run.run_id} cannot be written as {format}: {where}; use PEFT on {folder}")
    return row.forms[format](open_adapted(adapter, model_folder(base)), out)
