"""What a link can say of the Inspect tab."""

from typing import ClassVar

from neatlab.dashboard.shared.links import PageLink, RunId


class InspectLink(PageLink):
    """The run that is open, and the one that it is compared with."""

    HIDEABLE: ClassVar[tuple[str, ...]] = ("inspect",)

    inspect: RunId | None = None
    inspect_other: RunId | None = None
