"""What the Inspect tab asks a process for, checked as far as that goes without torch, and what comes back."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pandas as pd

from neatlab.dashboard.shared.choices import offered_task
from neatlab.dashboard.shared.field_error import FieldError
from neatlab.dashboard.shared.listing import Listing, choose
from neatlab.errors import BadInput, shown, unknown
from neatlab.runs.run import Run
from neatlab.tasks import TASKS, TaskSpec

FIELDS = ("run", "other", "upload", "folder", "base")  # what a message can stand next to

RUN, UPLOAD, FOLDER = "a run of this folder", "an upload", "a folder"
MAX_BYTES = 2**28  # of weights in an upload
MAX_PATH_LENGTH = 1000
MAX_FILES = 2
PARTS = {"one direction": "direction", "intruders only": "intruders", "all of ΔW": "all"}
WHOLE = "all layers"


class InspectOrder(NamedTuple):
    """An inspection.

    Args:
        runs: Ids of one run, or of two to compare.
        files: An upload instead.
        folder: A folder instead, under `root`.
        base: The base model's task, for an upload or a folder.
        base_folder: Or its folder, under `root`.
        root: Where folders may lie; empty where none may be opened.
        target: A folder of the window, for the downloads and for what is unpacked on the way.
    """

    runs: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    folder: str = ""
    base: TaskSpec | None = None
    base_folder: str = ""
    root: str = ""
    target: str = ""


class ScaleOrder(NamedTuple):
    """A measurement of the causal slider.

    Args:
        run: The run's id.
        which: A direction's index from 1, "intruders" or "all".
        layer: The layer; None for all of them.
    """

    run: str
    which: int | Literal["intruders", "all"]
    layer: str | None


class InspectionProgress(NamedTuple):
    """How far an inspection is."""

    done: int
    total: int
    layer: str


class AdapterSummary(NamedTuple):
    """An adapter that was inspected.

    Args:
        title: Its name for people.
        about: Method, base and settings.
        findings: The verdict, a finding a row: `text`, `advice`, `trouble`.
    """

    title: str
    about: str
    findings: list[dict[str, Any]]


class InspectionResult(NamedTuple):
    """What an inspection has measured, in tables that `plots` takes.

    Args:
        adapters: One, or two that are compared.
        sentences: What the comparison says.
        layers: A row an adapter and layer.
        spectra: Singular values.
        angles: Principal angles between the two; None for one.
        json: File with everything.
        report: File with the offline page.
    """

    adapters: list[AdapterSummary]
    sentences: list[str]
    layers: pd.DataFrame
    spectra: pd.DataFrame
    angles: pd.DataFrame | None
    json: str
    report: str

    @property
    def titles(self) -> list[str]:
        """The adapters' names."""
        return [adapter.title for adapter in self.adapters]


class ScalingCurve(NamedTuple):
    """What scaling a part of ΔW does.

    Args:
        part: The part in words.
        metric: Name of the task's metric.
        base_metric: Name of the base's; None where it has none.
        points: A row a factor, as `ScalingResult.frame()` gives them.
    """

    part: str
    metric: str
    base_metric: str | None
    points: pd.DataFrame


def order_runs(listing: Listing, run: Any, other: Any) -> InspectOrder:
    """The inspection of a run, or of two on the same task.

    Raises:
        FieldError: No such run, one without weights, or runs of different tasks.
    """
    first = _finished("run", listing, run)
    if not other:
        return InspectOrder(runs=(first.run_id,))
    second = _finished("other", listing, other)
    if second.run_id == first.run_id:
        raise FieldError("other", "the run is compared with itself; choose another")
    if second.config.spec.label != first.config.spec.label:
        tasks = " and ".join(run.config.spec.label for run in (first, second))
        raise FieldError("other", f"the runs are of {tasks}; ΔW can be compared on one base only")
    return InspectOrder(runs=(first.run_id, second.run_id))


def _finished(field: str, listing: Listing, given: Any) -> Run:
    if not given:
        raise FieldError(field, "choose a finished run; Train makes some")
    try:
        runs, problems = choose(listing, [given])
    except BadInput as error:
        raise FieldError(field, str(error)) from None
    if not runs:
        raise FieldError(field, problems[0])
    if runs[0].status != "finished":
        raise FieldError(field, f"run {runs[0].run_id} is {runs[0].status}; only a finished run has weights to inspect")
    return runs[0]


def order_upload(served: str, files: Any, base: Any) -> InspectOrder:
    """The inspection of an upload.

    Args:
        served: Folder that uploads lie in.
        files: As the page sends them: a list of objects with a `path`.
        base: Text of a task that the page offers, or empty.

    Raises:
        FieldError: No files, too many, or some that were not uploaded.
    """
    given = files if isinstance(files, list) else [files] if files else []
    if not given:
        raise FieldError(
            "upload", "choose a zip, adapter_config.json and adapter_model.safetensors together, or a LoRA file"
        )
    if len(given) > MAX_FILES:
        raise FieldError("upload", f"{len(given)} files; allowed: one zip, or the two files of one adapter")
    return InspectOrder(files=tuple(_uploaded(served, file) for file in given), base=_base(base))


def _uploaded(served: str, file: Any) -> str:
    text = file.get("path") if isinstance(file, Mapping) else None
    path = Path(_path("upload", text)).resolve()
    if not path.is_relative_to(Path(served).resolve()) or not path.is_file():
        raise FieldError("upload", "the file is no longer there; upload it again")
    return str(path)


def order_folder(root: Path | None, folder: Any, base: Any, base_folder: Any) -> InspectOrder:
    """The inspection of a folder; whether it lies under the root is checked where it is opened.

    Raises:
        FieldError: No root, no path, or two bases.
    """
    if root is None:
        raise FieldError("folder", "this server opens no folders; it does when started with --inspect-root DIR")
    text = _path("folder", folder)
    other = _path("base", base_folder) if base_folder else ""
    if other and base:
        raise FieldError("base", f"the base is {base!r} and the folder {shown(other)}; give one")
    return InspectOrder(folder=text, base=_base(base), base_folder=other, root=str(root))


def _path(field: str, text: Any) -> str:
    if not isinstance(text, str) or not text.strip() or len(text) > MAX_PATH_LENGTH or "\0" in text:
        raise FieldError(field, f"path {shown(text)}; allowed: a path of at most {MAX_PATH_LENGTH} characters")
    return text.strip()


def _base(text: Any) -> TaskSpec | None:
    try:
        return offered_task(text) if text else None
    except BadInput as error:
        raise FieldError("base", str(error)) from None


def small_tasks() -> list[str]:
    """Tasks whose models are scored within seconds."""
    return sorted(name for name, row in TASKS.items() if row.is_small)


def order_scale(run: Run | None, result: InspectionResult | None, part: Any, index: Any, layer: Any) -> ScaleOrder:
    """A measurement of the slider.

    Args:
        run: The run that is open.
        result: Its inspection.
        part: A value of PARTS.
        index: The direction.
        layer: A layer's name, or WHOLE.

    Raises:
        FieldError: Nothing that can be scaled.
    """
    if run is None or result is None or run.config.task not in small_tasks():
        raise FieldError("scale", f"open a finished run of {', '.join(small_tasks())} first")
    table = result.layers[result.layers["adapter"] == result.adapters[0].title].set_index("layer")
    if layer != WHOLE and layer not in table.index:
        raise FieldError("scale", str(unknown("layer", layer, [WHOLE, *table.index])))
    if part not in PARTS.values():
        raise FieldError("scale", str(unknown("part", part, PARTS.values())))
    which = _direction(index, int(table["rank"].max())) if part == "direction" else part
    return ScaleOrder(run.run_id, which, None if layer == WHOLE else layer)


def _direction(index: Any, max_rank: int) -> int:
    whole = isinstance(index, int | float) and not isinstance(index, bool) and index == index // 1
    if not whole or not 1 <= index <= max_rank:
        raise FieldError("scale", f"direction {shown(index)}; allowed: 1 to {max_rank}")
    return int(index)
