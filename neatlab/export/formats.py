"""In which forms a run's adapter and script can be had, known without torch; `adapters` and `snippet` write them."""

import zipfile
from pathlib import Path

import orjson

from neatlab.adapters.methods import METHODS
from neatlab.errors import BadInput
from neatlab.runs.run import Run

SCRIPTS = {  # form of a run's script → what it imports from transformers beside the model
    "peft": ("default_data_collator",),
    "trainer": ("Trainer", "TrainingArguments"),
}
ERRORS = "relative_error.json"  # in the archive of an adapter that its form cannot hold exactly


def formats(run: Run) -> tuple[str, ...]:
    """The forms that an adapter of the run's method can be written in; its settings may still refuse one."""
    return tuple(METHODS[run.config.arm.method].forms)


def check_export(run: Run, format: object) -> str:
    """The format, where the run can be written in it.

    Raises:
        BadInput: Another method's format, or a run without weights.
    """
    if format not in formats(run):
        what = f"a {run.config.arm.method} run can be written as {', '.join(formats(run))}"
        raise BadInput(f"format {str(format)[:40]!r}; {what}")
    if run.status != "finished":
        raise BadInput(f"run {run.run_id} is {run.status}; only a finished run has weights to download")
    return str(format)


def file_name(run: Run, format: object) -> str:
    """The name of what is downloaded: of a script, or of an adapter's archive.

    Raises:
        BadInput: What `check_export` refuses.
    """
    if format in (*SCRIPTS,):  # compared, not hashed: it may be anything
        return f"{run.run_id}-{format}.py"
    return f"{run.run_id}-{check_export(run, format)}.zip"


def export_note(path: Path) -> str:
    """What to know of an adapter's archive: how far ΔW is from the trained one; of other files there is nothing."""
    if path.suffix != ".zip":
        return ""
    with zipfile.ZipFile(path) as archive:
        name = next((name for name in archive.namelist() if name.endswith(f"/{ERRORS}")), None)
        errors = orjson.loads(archive.read(name)) if name else {}
    return f" ΔW differs from the trained one by at most {max(errors.values()):.1e} of its norm." if errors else ""
