"""What "Your own data" asks a process for, checked as far as that goes without reading it, and what comes back."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from neatlab.dashboard.shared.field_error import FieldError
from neatlab.errors import shown
from neatlab.tasks import TaskSpec

FIELDS = ("file", "columns", "model")  # what a message can stand next to
COLUMNS = ("text", "label", "image")
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
        model: Folder under `root`; empty for MiniLM.
        new_head: Train a new classifier though the model has one.
        root: Where models may lie; empty where none may be opened.
        target: A folder of the window, for the data.
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


class UploadedTask(NamedTuple):
    """A task made of an upload.

    Args:
        task: The task, with every option filled in.
        notes: What was noticed and chosen.
    """

    task: TaskSpec
    notes: list[str]


def order_data(
    served: str, root: Path | None, file: Any, text: Any, label: Any, image: Any, model: Any, new_head: Any
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

    Raises:
        FieldError: Something that cannot be used; says next to which control.
    """
    path = _uploaded(served, file)
    if path.suffix.lower() not in SUFFIXES:
        raise FieldError("file", f"file {shown(path.name)}; allowed: {', '.join(SUFFIXES)}")
    if path.stat().st_size > MAX_BYTES:
        raise FieldError("file", f"the file has {path.stat().st_size:,} bytes; allowed: {MAX_BYTES:,}")
    columns = {
        name: _line("columns", value, MAX_COLUMN_LENGTH)
        for name, value in zip(COLUMNS, (text, label, image), strict=True)
    }
    folder = _line("model", model, MAX_PATH_LENGTH)
    if folder and root is None:
        raise FieldError("model", "this server opens no folders; it does when started with --inspect-root DIR")
    return DataOrder(
        str(path), safe_name(path.name), **columns, model=folder, new_head=new_head is True, root=str(root or "")
    )


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
