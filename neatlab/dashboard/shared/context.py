"""What the tabs of the page share."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from neatlab.dashboard.shared.jobs import Jobs
from neatlab.dashboard.shared.profile import OWN, Profile
from neatlab.dashboard.shared.upload_store import UploadStore
from neatlab.dashboard.shared.visitors import Visitors
from neatlab.runs.store import Store
from neatlab.tasks import TaskSpec

T = TypeVar("T")
FORGET_SECONDS = 3600.0  # after which a window that nobody has touched is forgotten; it comes back empty


@dataclass(frozen=True)
class Context:
    """The runs folder and the trainings of this server.

    Args:
        store: The runs folder.
        jobs: The trainings.
        inspect_root: Where a visitor may open adapter folders; None where nowhere.
        uploads: The data that each window has brought.
        visitors: Who asks.
        shared_runs: Whether any visitor may stop any training and delete any run.
        profile: What visitors may do besides.
    """

    store: Store
    jobs: Jobs
    inspect_root: Path | None = None
    uploads: "Windows[UploadStore]" = field(default_factory=lambda: Windows(UploadStore))
    visitors: Visitors = field(default_factory=Visitors)
    shared_runs: bool = False
    profile: Profile = OWN

    @property
    def training(self) -> set[str]:
        """Ids of the runs that this server trains now."""
        return {run.run_id for job in self.jobs.active() for run in job.runs}

    def tasks(self, session: str | None) -> dict[str, TaskSpec]:
        """Key → task, of what a window has brought."""
        return self.uploads.get(session).tasks if session else {}

    def uploaded(self, session: str | None) -> list[tuple[str, str]]:
        """The same for a list of tasks: (text, key)."""
        return self.uploads.get(session).choices if session else []

    def upload_name(self, session: str | None, key: object) -> str | None:
        """The name of the file that a key stands for in this window; None where it stands for none."""
        return (self.uploads.get(session).name(str(key)) or None) if session else None

    def may_delete(self, run_id: str, session: str | None, user: str | None) -> bool:
        """Whether a visitor may delete a run: whoever has logged in, or has made it since the server was started.

        Args:
            run_id: The run.
            session: The visitor's window.
            user: Name under which they have logged in.
        """
        visitor = self.visitors.of(session)
        return self.shared_runs or bool(user) or (bool(visitor) and self.jobs.makers.get(run_id) == visitor)


class Windows(Generic[T]):
    """What the server keeps of each browser window while it is open, by Gradio's session hash.

    Args:
        make: Makes a new window's state.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._open: dict[str, tuple[float, T]] = {}

    def get(self, key: str | None) -> T:
        """The window's state, made on first use."""
        now = time.monotonic()
        with self._lock:
            self._open = {name: entry for name, entry in self._open.items() if now - entry[0] < FORGET_SECONDS}
            _, state = self._open.get(str(key)) or (now, self._make())
            self._open[str(key)] = (now, state)
        return state

    def touch(self, key: str | None) -> None:
        """Say that a window is in use; one that was closed stays closed."""
        with self._lock:
            if entry := self._open.get(str(key)):
                self._open[str(key)] = (time.monotonic(), entry[1])

    def end(self, key: str | None) -> T | None:
        """Forget a window that was closed; returns its state."""
        with self._lock:
            _, state = self._open.pop(str(key), (0.0, None))
        return state

    def __len__(self) -> int:
        return len(self._open)
