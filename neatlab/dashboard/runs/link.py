"""What a link can say of the Runs tab."""

from typing import ClassVar

from pydantic import Field

from neatlab.dashboard.shared.links import PageLink, RunId
from neatlab.dashboard.shared.listing import MAX_SELECTED


class RunsLink(PageLink):
    """The selected runs."""

    HIDEABLE: ClassVar[tuple[str, ...]] = ("runs",)

    run: tuple[RunId, ...] | None = Field(None, max_length=MAX_SELECTED)
