"""What a link can say of the Train tab."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from neatlab.dashboard.shared.choices import OfferedTask
from neatlab.dashboard.shared.links import PageLink, RunId, Text

FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}$")]  # as `safe_name` makes it


class TrainLink(PageLink):
    """The form, the layer and the step shown, or a run that is watched; of own data the file's name, not the data."""

    HIDEABLE: ClassVar[tuple[str, ...]] = (
        "presets",
        "task",
        "data",
        "settings",
        "arms",
        "more",
        "scrub",
        "command",
    )

    task: OfferedTask | None = None
    data: FileName | None = None
    arm: tuple[Text, ...] | None = Field(None, max_length=4)
    steps: int | None = Field(None, ge=1, le=5000)
    batch: int | None = Field(None, ge=1, le=512)
    lr: float | None = Field(None, gt=0, le=100)
    seed: int | None = Field(None, ge=0, lt=2**32)
    match: Literal["none", "rank", "params"] | None = None
    layer: Text | None = None
    at: int | None = Field(None, ge=0, le=1_000_000)
    watch: RunId | None = None
