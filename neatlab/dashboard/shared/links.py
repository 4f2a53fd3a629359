"""What a link can say of the page and of one tab, and how a link is written."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlencode

from pydantic import Field, StringConstraints

from neatlab.dashboard.shared.tour import STOPS
from neatlab.schema import Schema

Text = Annotated[str, StringConstraints(max_length=200)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
Activation = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]{1,32}$")]
RunId = Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{12}|x[0-9a-f]{11})$")]


class PageLink(Schema):
    """What a link says of the page; None where it says nothing. A tab's own parameters stand in a subclass.

    The names are those of the URL, which all tabs share: `neatlab.dashboard.links` refuses a name that two tabs use.

    Attributes:
        HIDEABLE: What `hide=` may name of the tab.
    """

    HIDEABLE: ClassVar[tuple[str, ...]] = ()

    tab: Name | None = None
    preset: Name | None = None
    lesson: Name | None = None
    hide: tuple[Name, ...] | None = None
    view: Literal["projector"] | None = None
    embed: Name | None = None
    tour: int | None = Field(None, ge=1, le=len(STOPS))

    def said(self) -> dict[str, Any]:
        """What the link does say."""
        return self.model_dump(exclude_none=True)


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
