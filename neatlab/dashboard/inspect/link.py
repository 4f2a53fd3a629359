"""What a link can say of the Inspect tab."""

from typing import ClassVar

from neatlab.dashboard.shared.links import PageLink, RunId


class InspectLink(PageLink):
    """The run that is open."""

    HIDEABLE: ClassVar[tuple[str, ...]] = ("inspect",)

    inspect: RunId | None = None
