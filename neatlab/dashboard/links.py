"""The page's state as a link: read from a URL, which is input, and checked."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Literal, Self, get_origin
from urllib.parse import parse_qsl

from neatlab.dashboard.ablate.link import AblateLink
from neatlab.dashboard.inspect.link import InspectLink
from neatlab.dashboard.runs.link import RunsLink
from neatlab.dashboard.shared.links import PageLink
from neatlab.dashboard.train.charts import CHARTS
from neatlab.dashboard.train.link import TrainLink
from neatlab.dashboard.understand.link import UnderstandLink
from neatlab.errors import BadInput, unknown

MAX_LENGTH = 4000  # characters of a query
TAB_LINKS: dict[str, type[PageLink]] = {
    "train": TrainLink,
    "ablate": AblateLink,
    "runs": RunsLink,
    "understand": UnderstandLink,
    "inspect": InspectLink,
}
EMBEDDED = ("train", *(row.chart.name for row in CHARTS))  # what a frame of another page can show
HIDEABLE = tuple(name for link in TAB_LINKS.values() for name in link.HIDEABLE)


def check_apart(links: Sequence[type[PageLink]]) -> None:
    """Refuse tabs that use a parameter of the URL for two things.

    Raises:
        TypeError: Says which parameter.
    """
    counts = Counter(name for link in links for name in link.model_fields.keys() - PageLink.model_fields.keys())
    if shared := sorted(name for name, count in counts.items() if count > 1):
        raise TypeError(f"two tabs use the same parameter of the link: {', '.join(shared)}; rename it in one of them")


check_apart([*TAB_LINKS.values()])


class Link(TrainLink, AblateLink, RunsLink, UnderstandLink, InspectLink):
    """What a link can say, of the page and of every tab."""

    tab: Literal[tuple(TAB_LINKS)] | None = None  # type: ignore[valid-type]
    hide: tuple[Literal[HIDEABLE], ...] | None = None  # type: ignore[valid-type]
    embed: Literal[EMBEDDED] | None = None  # type: ignore[valid-type]

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


def _is_list(name: str) -> bool:
    annotation = str(Link.model_fields[name].annotation)
    return "tuple[" in annotation or get_origin(annotation) is tuple
