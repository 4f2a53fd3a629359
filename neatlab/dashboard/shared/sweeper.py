"""Removes the runs of visitors who have gone, on servers that are everybody's."""

import contextlib
import threading
import time
from collections.abc import Collection

from neatlab.dashboard.shared.jobs import Jobs
from neatlab.dashboard.shared.visitors import Visitors
from neatlab.errors import NeatlabError
from neatlab.runs.store import Store

GONE_SECONDS = 60.0  # after the last window was closed: time enough to load the page again
MOST_SECONDS = 3600.0  # that a run stays, whoever seems to look on
POLL_SECONDS = 1.0


class Sweeper:
    """Watches whose runs there are.

    Args:
        store: The runs folder.
        jobs: Knows who has made which run, and what is being trained.
        visitors: Knows who has a window open.
    """

    def __init__(self, store: Store, jobs: Jobs, visitors: Visitors) -> None:
        self._store, self._jobs, self._visitors = store, jobs, visitors
        self._first: dict[str, float] = {}  # run → when it was first seen here, on the monotonic clock
        self._last: dict[str, float] = {}  # run → when its visitor was last seen

    def start(self) -> None:
        """Sweep from now on, in a thread that ends with the process."""
        threading.Thread(target=self._sweep_on, name="sweep", daemon=True).start()

    def sweep(self, now: float) -> None:
        """Remove the runs whose visitors have been gone for long enough.

        Args:
            now: On the monotonic clock.
        """
        present = self._visitors.present()
        training = {run.run_id for job in self._jobs.active() for run in job.runs}
        for run_id, visitor in list(self._jobs.makers.items()):
            first = self._first.setdefault(run_id, now)
            if visitor in present or run_id in training:
                self._last[run_id] = now
            is_old = now - first > MOST_SECONDS
            if run_id not in training and (is_old or now - self._last.setdefault(run_id, now) > GONE_SECONDS):
                self._remove(run_id)
        self._forget(self._jobs.makers)

    def _sweep_on(self) -> None:
        while True:
            time.sleep(POLL_SECONDS)
            self.sweep(time.monotonic())

    def _remove(self, run_id: str) -> None:
        with contextlib.suppress(NeatlabError):  # it is gone already
            self._store.delete(run_id)
        self._jobs.makers.pop(run_id, None)

    def _forget(self, known: Collection[str]) -> None:
        for times in (self._first, self._last):
            for run_id in [run_id for run_id in times if run_id not in known]:
                del times[run_id]
