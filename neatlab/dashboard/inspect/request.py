"""What the Inspect tab asks a process for, checked as far as that goes without torch, and what comes back."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pandas as pd

from neatlab.dashboard.shared.choices import TASK_CHOICES
from neatlab.dashboard.shared.listing import Listing, choose, task_text
from neatlab.errors import BadInput, shown, unknown
from neatlab.runs.run import Run

Place = Literal["run", "other", "upload", "folder", "base", "scale"]
PLACES: tuple[Place, ...] = ("run", "other", "upload", "folder", "base")

RUN, UPLOAD, FOLDER = "a run of this folder", "an upload", "a folder"
SMALL = ("arithmetic", "digits", "facts", "teacher")  # tasks whose models are scored within seconds
BASES = {**TASK_CHOICES, **{name: name for name in ("arithmetic", "facts") if name not in TASK_CHOICES.values()}}
LARGEST = 2**28  # bytes of weights in an upload
LONGEST = 1000  # characters of a path
MOST_FILES = 2
PARTS = {"one direction": "direction", "intruders only": "intruders", "all of ΔW": "all"}
WHOLE = "all layers"


class Refused(BadInput):
    """Something that cannot be inspected.

    Args:
        place: The control that the message stands beside.
        message: What was wrong and what is allowed.
    """

    def __init__(self, place: Place, message: str) -> None:
        super().__init__(message)
        self.place = place


class InspectOrder(NamedTuple):
    """One inspection.

    Args:
        runs: Ids of one run, or of two to compare.
        files: An upload instead.
        folder: A folder instead, under `root`.
        base: The base model's task, for an upload or a folder; empty for none.
        base_folder: Or its folder, under `root`.
        root: Where folders may lie; empty where none may be opened.
        target: A folder of the window's own, for the downloads and for what is unpacked on the way.
    """

    runs: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    folder: str = ""
    base: str = ""
    base_folder: str = ""
    root: str = ""
    target: str = ""


class ScaleOrder(NamedTuple):
    """One turn of the causal slider.

    Args:
        run: The run's id.
        which: A direction's index from 1, "intruders" or "all".
        layer: The layer; None for all of them.
    """

    run: str
    which: int | Literal["intruders", "all"]
    layer: str | None


class Progress(NamedTuple):
    """How far an inspection is."""

    done: int
    total: int
    layer: str


class Opened(NamedTuple):
    """One adapter.

    Args:
        title: Its name for people.
        about: Method, base and settings.
        findings: The verdict, a finding a row: `text`, `advice`, `trouble`.
    """

    title: str
    about: str
    findings: list[dict[str, Any]]


class Found(NamedTuple):
    """What an inspection found, in tables that `plots` takes.

    Args:
        adapters: One, or two that are compared.
        sentences: What the comparison says.
        layers: A row an adapter and layer.
        spectra: Singular values.
        angles: Principal angles between the two; None for one.
        json: File with everything.
        report: File with the offline page.
    """

    adapters: list[Opened]
    sentences: list[str]
    layers: pd.DataFrame
    spectra: pd.DataFrame
    angles: pd.DataFrame | None
    json: str
    report: str


class Scaled(NamedTuple):
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
        Refused: No such run, one without weights, or runs of different tasks.
    """
    first = _finished("run", listing, run)
    if not other:
        return InspectOrder(runs=(first.run_id,))
    second = _finished("other", listing, other)
    if second.run_id == first.run_id:
        raise Refused("other", "the run is compared with itself; choose another")
    if task_text(second.config) != task_text(first.config):
        tasks = " and ".join(task_text(run.config) for run in (first, second))
        raise Refused("other", f"the runs are of {tasks}; ΔW can be compared on one base only")
    return InspectOrder(runs=(first.run_id, second.run_id))


def _finished(place: Place, listing: Listing, given: Any) -> Run:
    if not given:
        raise Refused(place, "choose a finished run; Train makes some")
    try:
        runs, problems = choose(listing, [given])
    except BadInput as error:
        raise Refused(place, str(error)) from None
    if not runs:
        raise Refused(place, problems[0])
    if runs[0].status != "finished":
        raise Refused(place, f"run {runs[0].run_id} is {runs[0].status}; only a finished run has weights to inspect")
    return runs[0]


def order_upload(served: str, files: Any, base: Any) -> InspectOrder:
    """The inspection of an upload.

    Args:
        served: Folder that uploads lie in.
        files: As the page sends them: a list of objects with a `path`.
        base: A value of BASES, or empty.

    Raises:
        Refused: No files, too many, or some that were not uploaded.
    """
    given = files if isinstance(files, list) else [files] if files else []
    if not given:
        raise Refused("upload", "choose a zip, or adapter_config.json and adapter_model.safetensors together")
    if len(given) > MOST_FILES:
        raise Refused("upload", f"{len(given)} files; allowed: one zip, or the two files of one adapter")
    return InspectOrder(files=tuple(_uploaded(served, file) for file in given), base=_base(base))


def _uploaded(served: str, file: Any) -> str:
    text = file.get("path") if isinstance(file, Mapping) else None
    path = Path(_path("upload", text)).resolve()
    if not path.is_relative_to(Path(served).resolve()) or not path.is_file():
        raise Refused("upload", "the file is no longer there; upload it again")
    return str(path)


def order_folder(root: Path | None, folder: Any, base: Any, base_folder: Any) -> InspectOrder:
    """The inspection of a folder; whether it lies under the root is checked where it is opened.

    Raises:
        Refused: No root, no path, or two bases.
    """
    if root is None:
        raise Refused("folder", "this server opens no folders; it does when started with --inspect-root DIR")
    text = _path("folder", folder)
    other = _path("base", base_folder) if base_folder else ""
    if other and base:
        raise Refused("base", f"the base is {base!r} and the folder {shown(other)}; give one")
    return InspectOrder(folder=text, base=_base(base), base_folder=other, root=str(root))


def _path(place: Place, text: Any) -> str:
    if not isinstance(text, str) or not text.strip() or len(text) > LONGEST or "\0" in text:
        raise Refused(place, f"path {shown(text)}; allowed: a path of at most {LONGEST} characters")
    return text.strip()


def _base(given: Any) -> str:
    if given and given not in BASES.values():
        raise Refused("base", str(unknown("task", given, BASES.values())))
    return str(given or "")


def order_scale(run: Run | None, found: Found | None, part: Any, index: Any, layer: Any) -> ScaleOrder:
    """One turn of the slider.

    Args:
        run: The run that is open.
        found: Its inspection.
        part: A value of PARTS.
        index: The direction.
        layer: A layer's name, or WHOLE.

    Raises:
        Refused: Nothing that can be scaled.
    """
    if run is None or found is None or run.config.task not in SMALL:
        raise Refused("scale", f"open a finished run of {', '.join(SMALL)} first")
    table = found.layers[found.layers["adapter"] == found.adapters[0].title].set_index("layer")
    if layer != WHOLE and layer not in table.index:
        raise Refused("scale", str(unknown("layer", layer, [WHOLE, *table.index])))
    if part not in PARTS.values():
        raise Refused("scale", str(unknown("part", part, PARTS.values())))
    which = _direction(index, int(table["rank"].max())) if part == "direction" else part
    return ScaleOrder(run.run_id, which, None if layer == WHOLE else layer)


def _direction(index: Any, most: int) -> int:
    whole = isinstance(index, int | float) and not isinstance(index, bool) and index == index // 1
    if not whole or not 1 <= index <= most:
        raise Refused("scale", f"direction {shown(index)}; allowed: 1 to {most}")
    return int(index)
