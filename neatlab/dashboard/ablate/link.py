"""What a link can say of the Ablate tab."""

from typing import Annotated, ClassVar

from pydantic import Field

from neatlab.dashboard.ablate.request import MAX_MARGIN, SeedCount
from neatlab.dashboard.shared.choices import OfferedTask
from neatlab.dashboard.shared.links import Activation, PageLink, Text


class AblateLink(PageLink):
    """The grid."""

    HIDEABLE: ClassVar[tuple[str, ...]] = ("ablate",)

    ablate_task: OfferedTask | None = None
    base: Text | None = None
    depth: tuple[Annotated[int, Field(ge=2, le=16)], ...] | None = Field(None, max_length=16)
    activation: tuple[Activation, ...] | None = Field(None, max_length=16)
    seeds: SeedCount | None = None
    ablate_steps: int | None = Field(None, ge=1, le=5000)
    margin: float | None = Field(None, ge=0, le=MAX_MARGIN)
