"""The tour: stops with a guess, something to do, and what it shows. The page and the playground have it from here."""

import tomllib
from pathlib import Path
from typing import Annotated, Literal, Self

from markupsafe import Markup
from pydantic import Field, StringConstraints, model_validator

from neatlab.dashboard.shared.presets import PRESETS
from neatlab.errors import BadInput
from neatlab.runtime.templates import macros
from neatlab.schema import Schema

Text = Annotated[str, StringConstraints(min_length=1, max_length=300)]
Id = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,40}$")]
Place = Literal["page", "playground"]

_HTML = macros(__file__)
TEXT = Path(__file__).with_suffix(".toml")
SCRIPT = Path(__file__).with_suffix(".js")  # a module: the page takes it without its `export`
STYLE = Path(__file__).with_suffix(".css")


class Task(Schema):
    """What to do at a stop, in one of the two places.

    Args:
        do: What to do.
        at: Id of the control that is pointed at.
        tab: The page's tab that has it.
    """

    do: Text
    at: Id
    tab: Id | None = None


class Stop(Schema):
    """A stop.

    Args:
        title: Its name for people.
        text: What one needs to know for a guess.
        question: The question.
        choices: What one may predict.
        right: The right one of them.
        shows: Why.
        preset: A preset that is opened for it.
        lesson: The lesson that it follows.
        says: What that lesson says word for word.
        page: What to do on the page.
        playground: What to do in the playground.
    """

    title: Text
    text: Text
    question: Text
    choices: tuple[Text, ...] = Field(min_length=2, max_length=4)
    right: Text
    shows: Text
    preset: Id | None = None
    lesson: int = Field(ge=1)
    says: Text
    page: Task
    playground: Task

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.choices.count(self.right) != 1:
            raise ValueError(f"the right answer {self.right!r} is not one of the choices")
        if self.preset is not None and self.preset not in PRESETS:
            raise ValueError(f"there is no preset {self.preset!r}")
        return self


def read_stops(path: Path = TEXT) -> tuple[Stop, ...]:
    """The stops of a file.

    Raises:
        BadInput: A stop that is none; says which.
    """
    values = tomllib.loads(path.read_text(encoding="utf-8"))
    stops = values.get("stop", [])
    if not stops or len(values) > 1:
        raise BadInput(f"{path.name}: a list of [[stop]] and nothing else is needed")
    return tuple(Stop.parse(stop, f"stop {i} of the tour") for i, stop in enumerate(stops, 1))


STOPS = read_stops()


def panel(place: Place) -> Markup:
    """The tour's panel, hidden until a stop is shown.

    Args:
        place: Where it will stand.
    """
    titles = {name: preset.title for name, preset in PRESETS.items()}
    return _HTML.panel([(stop, getattr(stop, place)) for stop in STOPS], place, titles)


def script() -> str:
    """`makeTour` for a page whose scripts are no modules."""
    return SCRIPT.read_text(encoding="utf-8").replace("export function", "function")
