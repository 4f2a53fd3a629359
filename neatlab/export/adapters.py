"""From a finished run to a folder that others load: NEAT, PEANuT or LoRA adapters, or merged weights."""

from pathlib import Path

from neatlab.adapters.forms import FORMS, Errors
from neatlab.adapters.methods import METHODS
from neatlab.errors import BadInput, unknown
from neatlab.experiments.trained import load_trained
from neatlab.export.card import card
from neatlab.export.outside import export_outside
from neatlab.inspection.origin import write_origin
from neatlab.runs.outside import OutsideRun
from neatlab.runs.run import Run
from neatlab.runtime.files import PathLike


def export(run: Run, format: str, out: PathLike) -> Errors:
    """Write what a run trained in another form.

    Args:
        run: A finished run.
        format: "neat", "peanut", "lora" (adapter folders) or "merged" (a plain transformers model).
        out: The folder to write; it must not exist yet, or be empty.

    Returns:
        Layer → relative error of ΔW where the form cannot hold it exactly (LoRA → NEAT); {} where it can.

    Raises:
        BadInput: The run is not finished, the form does not fit its method, or the folder is not free.
        StoreError: The run's weights are missing or damaged.
    """
    if format not in FORMS:
        raise unknown("format", format, FORMS)
    method = run.config.arm.method
    forms = METHODS[method].forms
    if format not in forms:
        raise _misfit(method, format)
    if isinstance(run.config, OutsideRun):
        return export_outside(run, run.config, format, out)
    errors = forms[format](load_trained(run), out)
    (Path(out) / "README.md").write_text(card(run, format), encoding="utf-8")  # in the place of PEFT's empty form
    write_origin(run, Path(out))
    return errors


def _misfit(method: str, format: str) -> BadInput:
    if METHODS[method].config is None:
        return BadInput(f"a {method} run has no adapter to write as {format}; allowed: merged")
    able = [name for name, row in METHODS.items() if format in row.forms]
    return BadInput(f"a {method} run cannot be written as {format}, which {', '.join(able)} can; try merged")
