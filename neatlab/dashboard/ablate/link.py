"""What a link can say of the Ablate tab."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from neatlab.adapters.activations import COMPARED
from neatlab.dashboard.shared.choices import OfferedTask
from neatlab.dashboard.shared.links import Activation, PageLink, Text
from neatlab.dashboard.sweeps.axes import DEPTHS, MAX_VALUES, MORE, chosen
from neatlab.dashboard.sweeps.limits import MAX_MARGIN, SeedCount
from neatlab.errors import unknown


class AblateLink(PageLink):
    """The base arm and the grid: depths, activations, and other axes as the command line writes them, "rank=2,4"."""

    HIDEABLE: ClassVar[tuple[str, ...]] = ("ablate",)

    ablate_task: OfferedTask | None = None
    base: Text | None = None
    depth: tuple[Annotated[int, Field(ge=2, le=16)], ...] | None = Field(None, max_length=MAX_VALUES)
    activation: tuple[Activation, ...] | None = Field(None, max_length=MAX_VALUES)
    grid: tuple[Text, ...] | None = Field(None, max_length=len(MORE))
    reference: Text | None = None
    rates: Literal["auto"] | None = None
    seeds: SeedCount | None = None
    ablate_steps: int | None = Field(None, ge=1, le=5000)
    margin: float | None = Field(None, ge=0, le=MAX_MARGIN)

    def axes(self) -> dict[str, list[str]]:
        """Axis → values as text, of those that the link names.

        Raises:
            BadInput: An axis or a value that the tab does not have.
        """
        said: dict[str, tuple[Any, ...]] = {"depth": self.depth or (), "activation": self.activation or ()}
        chosen("depth", said["depth"], DEPTHS)
        chosen("activation", said["activation"], COMPARED)
        axes = {name: [*map(str, values)] for name, values in said.items() if values}
        for text in self.grid or ():
            name, _, values = text.partition("=")
            if name not in MORE:
                raise unknown("axis", name, MORE)
            axes[name] = values.split(",")[:MAX_VALUES]
        return axes
