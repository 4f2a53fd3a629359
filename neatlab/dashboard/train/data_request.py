"""What "Your own data" asks a process for, checked as far as that goes without reading it, and what comes back."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from neatlab.dashboard.shared.field_error import FieldError
from neatlab.errors import shown, unknown
from neatlab.tasks import TaskSpec

KINDS = {  # kind → what it is called on the page
    "labels": "classes",
    "regression": "regression",
    "images": "images",
    "language": "language",
}
FIELDS = ("file", "columns", "model")  # what a message can stand next to
COLUMNS = ("text", "label", "image")
WORKBOOKS = (".xlsx", ".xls", ".xlsm", ".ods")
SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet", ".zip")
MAX_BYTES = 50 * 2**20  # of an upload
MAX_COLUMN_LENGTH = 200
MAX_PATH_LENGTH = 1000
MAX_NAME_LENGTH = 60


class DataOrder(NamedTuple):
    """An upload to make a task of.

    Args:
        file: Where the upload lies.
        name: Its name, fit for a path.
        text: Column of texts; empty to be guessed, as the other columns.
        label: Column of labels.
        image: Column of images.
        model: Folder under `root`; empty for MiniLM, or of images for the ViT of the digits.
        new_head: Train a new classifier though the model has one.
        root: Where models may lie; empty where none may be opened.
        target: A folder of the window, for the data.
        kind: What to learn; empty to be guessed.
    """

    file: str
    name: str
    text: str = ""
    label: str = ""
    image: str = ""
    model: str = ""
    new_head: bool = False
    root: str = ""
    target: str = ""
    kind: str = ""


class DataPreview(NamedTuple):
    """The begin of a table, shown whether or not the rest can be used.

    Args:
        columns: Names of its columns.
        rows: Its first rows, cells cut where they are long.
    """

    columns: list[str]
    rows: list[list[str]]


class UploadedTask(NamedTuple):
    """A task made of an upload.

    Args:
        task: The task, with every option filled in.
        notes: What was noticed and chosen.
        roles: Text, label, image and kind → what was given or guessed.
        kinds: What the data could be learnt as.
        preview: The begin of a table; None of a zip.
    """

    task: TaskSpec
    notes: list[str]
    roles: dict[str, str]
    kinds: list[str]
    preview: DataPreview | None = None


def order_data(
    served: str,
    root: Path | None,
    file: Any,
    text: Any,
    label: Any,
    image: Any,
    model: Any,
    new_head: Any,
    kind: Any = "",
) -> DataOrder:
    """The task that the form asks for.

    Args:
        served: Folder that uploads lie in.
        root: Where models may lie; None where none may be opened.
        file: As the page sends it: an object with a `path`.
        text: Column of texts, or empty.
        label: Column of labels, or empty.
        image: Column of images, or empty.
        model: Folder under `root`, or empty.
        new_head: Whether to train a new classifier.
        kind: A key of KINDS, or empty.

    Raises:
        FieldError: Something that cannot be used; says next to which control.
    """
    path = _uploaded(served, file)
    if path.suffix.lower() not in SUFFIXES:
        hint = "; save the workbook as CSV" if path.suffix.lower() in WORKBOOKS else ""
        raise FieldError("file", f"file {shown(path.name)}; allowed: {', '.join(SUFFIXES)}{hint}")
    if path.stat().st_size > MAX_BYTES:
        raise FieldError("file", f"the file has {path.stat().st_size:,} bytes; allowed: {MAX_BYTES:,}")
    columns: dict[str, Any] = {
        name: _line("columns", value, MAX_COLUMN_LENGTH)
        for name, value in zip(COLUMNS, (text, label, image), strict=True)
    }
    what = _line("columns", kind, MAX_COLUMN_LENGTH)
    if what and what not in KINDS:
        raise FieldError("columns", str(unknown("kind", what, KINDS)))
    folder = _line("model", model, MAX_PATH_LENGTH)
    if folder and root is None:
        raise FieldError("model", "this server opens no folders; it does when started with --inspect-root DIR")
    given = {**columns, "model": folder, "root": str(root or ""), "kind": what}
    return DataOrder(str(path), safe_name(path.name), new_head=new_head is True, **given)


def _uploaded(served: str, file: Any) -> Path:
    if not file:
        raise FieldError("file", f"choose a file: {', '.join(SUFFIXES)}")
    text = file.get("path") if isinstance(file, Mapping) else None
    path = Path(_line("file", text, MAX_PATH_LENGTH)).resolve()
    if not path.is_relative_to(Path(served).resolve()) or not path.is_file():
        raise FieldError("file", "the file is no longer there; upload it again")
    return path


def _line(field: str, value: Any, max_length: int) -> str:
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > max_length or not value.isprintable():
        raise FieldError(field, f"{shown(value)}; allowed: one line of at most {max_length} characters")
    return value.strip()


def safe_name(name: str) -> str:
    """A file's name with letters, digits, dots and hyphens, its ending small and kept."""
    stem, suffix = Path(name).stem, Path(name).suffix.lower()
    return (re.sub(r"[^\w-]+", "_", stem, flags=re.ASCII).strip("_")[:MAX_NAME_LENGTH] or "data") + suffix
