"""What people say of a run: tags and a note, in a file of their own in its directory, apart from what was trained."""

import os
import re
import uuid
from collections.abc import Collection, Iterable
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple
from unicodedata import category

import orjson

from neatlab.errors import BadInput, StoreError
from neatlab.runtime.files import open_regular
from neatlab.runtime.locks import in_turn

NOTES = "notes.json"
TAG = re.compile(r"\w[\w.:+/-]{0,39}")
MAX_TAGS = 20  # of a run
MAX_NOTE = 2000  # characters
MAX_BYTES = 2**16  # more than these come to in JSON
_EDITING = Lock()


class Notes(NamedTuple):
    """What is said of a run.

    Args:
        tags: Sorted, each once.
        note: Plain text; empty where nobody wrote any.
    """

    tags: tuple[str, ...] = ()
    note: str = ""


NO_NOTES = Notes()


def read_notes(path: Path) -> Notes:
    """What is said of the run in `path`; nothing where it has no such file.

    Raises:
        StoreError: The file cannot be read, or holds something else.
    """
    try:
        with open_regular(path / NOTES, MAX_BYTES) as file:
            stored = orjson.loads(file.read())
        return Notes(checked_tags(stored["tags"]), checked_note(stored["note"]))
    except FileNotFoundError:
        return Notes()
    except (OSError, KeyError, TypeError, ValueError) as error:  # BadInput and orjson's refusal are ValueErrors
        raise StoreError(f"{path / NOTES} cannot be read: {error}; remove it to begin anew") from error


def annotate(path: Path, add: Collection[str] = (), remove: Collection[str] = (), note: str | None = None) -> Notes:
    """Change what is said of the run in `path`; any other process does so before or after.

    Args:
        path: Its directory.
        add: Tags to add.
        remove: Tags to take away; those that it does not have are no mistake.
        note: The new note; None leaves the one that is there.

    Returns:
        What is said of it now.

    Raises:
        BadInput: A tag or a note that is none, or too many tags.
        StoreError: The file is damaged, or cannot be written.
    """
    added, removed = checked_tags(add), checked_tags(remove)
    with _EDITING, in_turn(path):
        before = read_notes(path)
        tags = checked_tags({*before.tags, *added} - {*removed})
        after = Notes(tags, before.note if note is None else checked_note(note))
        if after != before:
            _write(path, after)
    return after


def checked_tags(given: Iterable[Any]) -> tuple[str, ...]:
    """Tags in lower case, sorted, each once.

    Raises:
        BadInput: No list, one of them is no tag, or there are too many.
    """
    if isinstance(given, str):
        raise BadInput("tags are a list")
    tags = tuple(sorted({_tag(item) for item in given}))
    if len(tags) > MAX_TAGS:
        raise BadInput(f"{len(tags)} tags; a run has at most {MAX_TAGS}")
    return tags


def _tag(given: Any) -> str:
    tag = given.strip().lower() if isinstance(given, str) else ""
    if not TAG.fullmatch(tag):
        raise BadInput(
            f"tag {tag[:60]!r}; allowed: up to 40 letters, digits or .:+/-_, a letter or digit first, such as to-check"
        )
    return tag


def checked_note(given: Any) -> str:
    """A note without blank ends.

    Raises:
        BadInput: No text, too long, or with characters that cannot be shown.
    """
    if not isinstance(given, str):
        raise BadInput("a note is text")
    note = given.replace("\r\n", "\n").strip()
    if len(note) > MAX_NOTE:
        raise BadInput(f"a note of {len(note):,} characters; allowed: {MAX_NOTE:,}")
    if wrong := [sign for sign in note if category(sign) in ("Cc", "Cs") and sign not in "\n\t"]:
        raise BadInput(f"a note with the character {wrong[0]!r}; allowed: text that can be shown")
    return note


def carry_notes(old: Path, new: Path) -> None:
    """Move what is said of a run to the directory that takes its place."""
    if (old / NOTES).is_file():
        (old / NOTES).replace(new / NOTES)


def _write(path: Path, notes: Notes) -> None:
    temporary = path / f".{NOTES}-{uuid.uuid4().hex}"  # a name of its own: another process may write too
    try:
        with open(temporary, "wb") as file:
            file.write(orjson.dumps(notes._asdict(), option=orjson.OPT_INDENT_2))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path / NOTES)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StoreError(f"{path / NOTES} cannot be written: {error.strerror or error}") from error
