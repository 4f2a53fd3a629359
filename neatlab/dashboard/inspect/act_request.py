"""Acts on the adapter that the Inspect tab has open, checked as far as that goes without torch."""

import shlex
from collections.abc import Mapping
from typing import Any, NamedTuple

from neatlab.dashboard.inspect.request import InspectionResult, InspectOrder
from neatlab.dashboard.shared.field_error import FieldError
from neatlab.errors import shown
from neatlab.runs.run import Run

MAX_ACTS = 8
MAX_LENGTH = 200  # characters of an act
# Text for people → an act as one writes it; others can be typed.
OFFERED: Mapping[str, str] = {
    "keep 99 % of each layer's Σσ²": "compress:energy=0.99",
    "keep two directions of each layer": "compress:rank=2",
    "keep what stands out of noise": "compress:threshold=marchenko-pastur",
    "go back to W₀ + 0.8 · ΔW": "rewind:alpha=0.8",
    "take the first direction out": "drop-direction:index=1",
    "weaken intruders": "reduce-intruders:lambda=0.5",
    "write ΔW as LoRA": "convert:to=lora",
}


class ActOrder(NamedTuple):
    """Acts on what is open.

    Args:
        opened: What is open; its target is a folder of the window.
        acts: What to do, in this order, as one writes it.
        is_scored: Whether the run's task is scored before and after.
    """

    opened: InspectOrder
    acts: tuple[str, ...]
    is_scored: bool = False

    @property
    def command(self) -> str:
        """What repeats it outside the page."""
        adapter = self.opened.runs[0] if self.opened.runs else self.opened.folder or "ADAPTER_DIR"
        acts = [word for act in self.acts for word in ("--act", act)]
        base = ["--base", self.opened.base_folder] if self.opened.base_folder else []
        scored = ["--task", "own"] if self.is_scored else []
        return shlex.join(["neatlab", "edit", adapter, *acts, *base, *scored, "--out", "edited"])


class ActResult(NamedTuple):
    """What acts did.

    Args:
        order: What was asked for.
        inspection: The adapter before and after.
        summary: Types, parameters, bytes and errors, in a sentence.
        proof: Scores before and after with their interval; empty where nothing was scored.
        file: A zip with the edited adapter.
    """

    order: ActOrder
    inspection: InspectionResult
    summary: str
    proof: str
    file: str


def order_acts(
    opened: InspectOrder | None, run: Run | None, before: tuple[str, ...], act: Any, is_scored: Any
) -> ActOrder:
    """The acts so far and one more.

    Args:
        opened: What the window has open.
        run: The run that is; None for an upload or a folder.
        before: The acts that were done.
        act: The next one.
        is_scored: Whether to score before and after.

    Raises:
        FieldError: Nothing is open that acts can work on, or no act.
    """
    if opened is None or len(opened.runs) > 1:
        raise FieldError("acts", "open one adapter first: a run, an upload or a folder")
    text = act.strip() if isinstance(act, str) else ""
    if not text or len(text) > MAX_LENGTH or not text.isprintable():
        raise FieldError("acts", f"act {shown(act)}; allowed: such as compress:rank=2, at most {MAX_LENGTH} characters")
    if len(before) >= MAX_ACTS:
        raise FieldError("acts", f"{MAX_ACTS} acts, the most that the page does after one another; undo one")
    return ActOrder(opened, (*before, text), bool(is_scored) and can_score(run))


def can_score(run: Run | None) -> bool:
    """Whether an adapter is scored within seconds: that of a run whose task is small."""
    return run is not None and run.config.spec.row.is_small
