"""What "Your own data" asks a process for, checked as far as that goes without reading it, and what comes back."""

import re
import secrets
import shutil
import tempfile
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from neatlab.dashboard.shared.choices import UPLOADED
from neatlab.errors import BadInput, shown

Place = Literal["file", "columns", "model"]
PLACES: tuple[Place, ...] = ("file", "columns", "model")
SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet", ".zip")
LARGEST = 50 * 2**20  # bytes of an upload
LONGEST = 200  # characters of a column's name
LONGEST_PATH = 1000
LONGEST_NAME = 60
KEPT = 4  # uploads a window; the oldest goes


class DataRefused(BadInput):
    """Data or a model that cannot be used.

    Args:
        place: The control that the message stands beside.
        message: What was wrong and what is allowed.
    """

    def __init__(self, place: Place, message: str) -> None:
        super().__init__(message)
        self.place = place


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
        target: A folder of the window's own, for the data.
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


class Made(NamedTuple):
    """A task made of an upload.

    Args:
        task: The task as one writes it, everything found filled in.
        notes: What was found and chosen.
    """

    task: str
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
        DataRefused: Something that cannot be used; says beside which control.
    """
    path = _uploaded(served, file)
    if path.suffix.lower() not in SUFFIXES:
        raise DataRefused("file", f"file {shown(path.name)}; allowed: {', '.join(SUFFIXES)}")
    if path.stat().st_size > LARGEST:
        raise DataRefused("file", f"the file has {path.stat().st_size:,} bytes; allowed: {LARGEST:,}")
    columns = {
        name: _line("columns", value, LONGEST) for name, value in zip(_COLUMNS, (text, label, image), strict=True)
    }
    folder = _line("model", model, LONGEST_PATH)
    if folder and root is None:
        raise DataRefused("model", "this server opens no folders; it does when started with --inspect-root DIR")
    return DataOrder(
        str(path), safe_name(path.name), **columns, model=folder, new_head=new_head is True, root=str(root or "")
    )


_COLUMNS = ("text", "label", "image")


def _uploaded(served: str, file: Any) -> Path:
    if not file:
        raise DataRefused("file", f"choose a file: {', '.join(SUFFIXES)}")
    text = file.get("path") if isinstance(file, Mapping) else None
    path = Path(_line("file", text, LONGEST_PATH)).resolve()
    if not path.is_relative_to(Path(served).resolve()) or not path.is_file():
        raise DataRefused("file", "the file is no longer there; upload it again")
    return path


def _line(place: Place, value: Any, longest: int) -> str:
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > longest or not value.isprintable():
        raise DataRefused(place, f"{shown(value)}; allowed: one line of at most {longest} characters")
    return value.strip()


def safe_name(name: str) -> str:
    """A file's name with letters, digits, dots and hyphens, its ending small and kept."""
    stem, suffix = Path(name).stem, Path(name).suffix.lower()
    return (re.sub(r"[^\w-]+", "_", stem, flags=re.ASCII).strip("_")[:LONGEST_NAME] or "data") + suffix


class _Upload(NamedTuple):
    name: str
    task: str
    folder: Path


class Drawer:
    """A window's data: their files lie in folders that go when the window does."""

    def __init__(self) -> None:
        self._kept: dict[str, _Upload] = {}
        self._root: Path | None = None

    def place(self) -> Path:
        """A new folder; whoever finds no use for it removes it."""
        if self._root is None:
            self._root = Path(tempfile.mkdtemp(prefix="neatlab-data-"))
            weakref.finalize(self, shutil.rmtree, str(self._root), ignore_errors=True)
        return Path(tempfile.mkdtemp(dir=self._root))

    def add(self, name: str, task: str, folder: Path) -> str:
        """Keep a task; returns the key that stands for it in this window's form."""
        while len(self._kept) >= KEPT:
            oldest = self._kept.pop(next(iter(self._kept)))
            shutil.rmtree(oldest.folder, ignore_errors=True)
        key = f"{UPLOADED}{secrets.token_hex(8)}"
        self._kept[key] = _Upload(name, task, folder)
        return key

    @property
    def tasks(self) -> dict[str, str]:
        """Key → task as one writes it."""
        return {key: upload.task for key, upload in self._kept.items()}

    @property
    def choices(self) -> list[tuple[str, str]]:
        """(text, key) for the list of tasks."""
        return [(f"your data: {upload.name}", key) for key, upload in self._kept.items()]

    def close(self) -> None:
        """Remove everything."""
        self._kept.clear()
        if self._root is not None:
            shutil.rmtree(self._root, ignore_errors=True)
