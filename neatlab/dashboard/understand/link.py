"""What a link can say of the Understand tab."""

from typing import ClassVar, Literal

from pydantic import Field

from neatlab.adapters.activations import COMPARED
from neatlab.adapters.neat_sizes import Orientation
from neatlab.dashboard.shared.choices import OfferedTask
from neatlab.dashboard.shared.links import PageLink
from neatlab.dashboard.understand.request import MAX_SIDE


class UnderstandLink(PageLink):
    """The layer of the equations, and the construction's task and rank."""

    HIDEABLE: ClassVar[tuple[str, ...]] = ("understand",)

    d_in: int | None = Field(None, ge=1, le=MAX_SIDE)
    d_out: int | None = Field(None, ge=1, le=MAX_SIDE)
    rank: int | None = Field(None, ge=1, le=4096)
    maps: int | None = Field(None, ge=2, le=16)
    side: Orientation | None = None
    sigma: Literal[COMPARED] | None = None  # type: ignore[valid-type]
    contains: OfferedTask | None = None
    contains_rank: int | None = Field(None, ge=1, le=512)
