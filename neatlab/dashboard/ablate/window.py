"""What one browser window shows of the Ablate tab."""

from dataclasses import dataclass

from neatlab.dashboard.shared.field_error import FieldError
from neatlab.dashboard.shared.job import Job
from neatlab.dashboard.sweeps.request import SweepOrder


@dataclass
class AblateWindow:
    """What one browser window shows.

    Args:
        asked: The sweep that the form describes; None where it cannot be run.
        order: The sweep in the charts: the one that runs, else the one that was asked for last.
        step_seconds: Seconds a step of other runs of the task that was asked for; None where unknown.
        job: Its process, while there is one.
        refusal: Why what the form describes cannot be run.
        forms: How many forms have come, so that an older one is not noted over a newer.
        turn: Which of the window's followers may speak: the last one that began.
        filling: Whether the page fills the form from its link: a form that comes meanwhile is half of one.
        closed: Whether the window is gone.
    """

    asked: SweepOrder | None = None
    order: SweepOrder | None = None
    step_seconds: float | None = None
    job: Job | None = None
    refusal: FieldError | None = None
    forms: int = 0
    turn: int = 0
    filling: bool = False
    closed: bool = False

    @property
    def busy(self) -> bool:
        """Whether a sweep of this window waits or runs."""
        return self.job is not None and self.job.phase != "ended"
