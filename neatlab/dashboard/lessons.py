"""Lessons: a folder of named states of the page, each with a title and what to look at.

A lesson is a file NAME.json: {"title": "…", "text": "…", "link": "?tab=train&task=digits&…&hide=settings"}.
"""

import re
from pathlib import Path
from typing import Annotated

import orjson
from pydantic import StringConstraints

from neatlab.dashboard.links import Link
from neatlab.dashboard.shared.presets import PRESETS
from neatlab.dashboard.train.form import arm_fields
from neatlab.errors import BadInput, unknown
from neatlab.schema import Schema

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
MAX_LESSONS = 100


class Lesson(Schema):
    """A lesson.

    Args:
        title: Its name for people.
        text: What to look at.
        link: The state that it opens.
    """

    title: Annotated[str, StringConstraints(min_length=1, max_length=120)]
    text: Annotated[str, StringConstraints(max_length=4000)] = ""
    link: Annotated[str, StringConstraints(max_length=4000)]


def read_lessons(folder: str | Path) -> dict[str, Lesson]:
    """The lessons of a folder, all of them checked before the page is served.

    Args:
        folder: Holds the files.

    Returns:
        Name → lesson, by name.

    Raises:
        BadInput: No such folder, or a file that is no lesson; says which.
    """
    root = Path(folder)
    if not root.is_dir():
        raise BadInput(f"--lessons {root}: no such folder")
    paths = sorted(root.glob("*.json"))
    if not paths or len(paths) > MAX_LESSONS:
        raise BadInput(f"--lessons {root}: {len(paths)} .json files; between 1 and {MAX_LESSONS} are needed")
    return {path.stem: _read(path) for path in paths}


def _read(path: Path) -> Lesson:
    if not NAME.fullmatch(path.stem):
        raise BadInput(f"lesson {path.name}: a name has small letters, digits and hyphens only")
    try:
        values = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise BadInput(f"lesson {path.name} cannot be read: {error}") from error
    if not isinstance(values, dict):
        raise BadInput(f"lesson {path.name} is not an object with title, text and link")
    lesson = Lesson.parse(values, f"lesson {path.name}")
    link = Link.text(lesson.link)
    if link.preset is not None and link.preset not in PRESETS:
        raise unknown(f"preset in lesson {path.name}", link.preset, PRESETS)
    arm_fields(link.arm or ())
    return lesson
