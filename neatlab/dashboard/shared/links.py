"""The page's state as a link: read from a URL, which is input, and written back."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Self, get_origin
from urllib.parse import parse_qsl, urlencode

from pydantic import Field, StringConstraints

from neatlab.adapters.activations import COMPARED
from neatlab.dashboard.shared.choices import OfferedTask
from neatlab.errors import BadInput, unknown
from neatlab.schema import Schema

MAX_LENGTH = 4000  # characters of a query
Word = Annotated[str, StringConstraints(max_length=200)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
Activation = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]{1,32}$")]
RunId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{12}$")]

HIDEABLE = (
    "presets",
    "task",
    "data",
    "settings",
    "arms",
    "more",
    "scrub",
    "command",
    "ablate",
    "runs",
    "understand",
    "inspect",
)


class Link(Schema):
    """What a link can say; None where it says nothing. The names are those of the URL."""

    tab: Literal["train", "ablate", "runs", "understand", "inspect"] | None = None
    preset: Name | None = None
    lesson: Name | None = None
    hide: tuple[Literal[HIDEABLE], ...] | None = None  # type: ignore[valid-type]
    task: OfferedTask | None = None
    arm: tuple[Word, ...] | None = Field(None, max_length=4)
    steps: int | None = Field(None, ge=1, le=5000)
    batch: int | None = Field(None, ge=1, le=512)
    lr: float | None = Field(None, gt=0, le=100)
    seed: int | None = Field(None, ge=0, lt=2**32)
    match: Literal["none", "rank", "params"] | None = None
    layer: Word | None = None
    at: int | None = Field(None, ge=0, le=5000)
    base: Word | None = None
    depth: tuple[Annotated[int, Field(ge=2, le=16)], ...] | None = Field(None, max_length=16)
    activation: tuple[Activation, ...] | None = Field(None, max_length=16)
    seeds: int | None = Field(None, ge=1, le=5)
    ablate_task: OfferedTask | None = None
    ablate_steps: int | None = Field(None, ge=1, le=5000)
    run: tuple[RunId, ...] | None = Field(None, max_length=20)
    inspect: RunId | None = None
    d_in: int | None = Field(None, ge=1, le=65_536)
    d_out: int | None = Field(None, ge=1, le=65_536)
    rank: int | None = Field(None, ge=1, le=4096)
    maps: int | None = Field(None, ge=2, le=16)
    side: Literal["auto", "out", "in"] | None = None
    sigma: Literal[COMPARED] | None = None  # type: ignore[valid-type]
    contains: OfferedTask | None = None
    contains_rank: int | None = Field(None, ge=1, le=512)

    @classmethod
    def read(cls, query: Iterable[tuple[str, str]]) -> Self:
        """The link of these parameters; those that begin with "__" are Gradio's.

        Args:
            query: Name and value, several of a name where it is a list.

        Raises:
            BadInput: An unknown parameter, or a value that it cannot have.
        """
        pairs = [(name, value) for name, value in query if not name.startswith("__") and value != ""]
        if sum(len(name) + len(value) for name, value in pairs) > MAX_LENGTH:
            raise BadInput(f"the link is longer than {MAX_LENGTH} characters")
        given: dict[str, Any] = {}
        for name, value in pairs:
            if name not in cls.model_fields:
                raise unknown("parameter of the link", name[:40], cls.model_fields)
            given[name] = (*given.get(name, ()), value) if _is_list(name) else value
        return cls.parse(given, "the link")

    @classmethod
    def text(cls, query: str) -> Self:
        """The link written as "?tab=train&arm=…", as presets and lessons are.

        Raises:
            BadInput: As `read`.
        """
        return cls.read(parse_qsl(query.removeprefix("?")))

    def over(self, other: "Link") -> "Link":
        """This link, with `other` for what it does not say."""
        return Link(**(other.model_dump() | self.said()))

    def said(self) -> dict[str, Any]:
        """What the link does say."""
        return self.model_dump(exclude_none=True)


def _is_list(name: str) -> bool:
    annotation = str(Link.model_fields[name].annotation)
    return "tuple[" in annotation or get_origin(annotation) is tuple


def write(values: Mapping[str, Any]) -> str:
    """The query of these values, "?tab=train&…"; empty ones are left out."""
    pairs = [(name, item) for name, value in values.items() for item in _items(value)]
    return "?" + urlencode(pairs, safe=":,=") if pairs else ""


def _items(value: Any) -> list[str]:
    if value is None or value == "":
        return []
    if isinstance(value, list | tuple):
        return [str(item) for item in value]
    return [f"{value:g}" if isinstance(value, float) and abs(value) < 1e6 else str(value)]
