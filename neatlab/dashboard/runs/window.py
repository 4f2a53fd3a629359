"""What a browser window has on the Runs tab."""

from threading import Lock
from typing import Any

from neatlab.dashboard.runs.table import selected_texts
from neatlab.dashboard.shared.download_folder import DownloadFolder
from neatlab.dashboard.shared.job import Job
from neatlab.dashboard.shared.listing import MAX_SELECTED
from neatlab.errors import BadInput
from neatlab.runs.notes import Notes


class RunsWindow:
    """What a browser window has on this tab.

    Attributes:
        files: Its downloads.
        asked: The runs that it was asked whether to delete.
        selected: The selection after the last click on a row, which the page may not show yet; None: what it shows.
        described: Id of a run → its tags and note, of those whose fields the page shows.
        job: The process that writes an adapter for it, while there is one.
    """

    def __init__(self) -> None:
        self.files = DownloadFolder()
        self.asked: tuple[str, ...] = ()
        self.selected: list[str] | None = None
        self.described: dict[str, Notes] = {}
        self.job: Job | None = None
        self._lock = Lock()

    def toggle(self, shown: Any, run_id: str) -> list[str]:
        """Select a run, or take it away; returns the selection.

        Args:
            shown: What the page shows as selected.
            run_id: The run.

        Raises:
            BadInput: More than can be shown together.
        """
        with self._lock:
            before = selected_texts(shown) if self.selected is None else self.selected
            after = [item for item in before if item != run_id]
            if len(after) == len(before):
                after.append(run_id)
            if len(after) > MAX_SELECTED:
                raise BadInput(f"{MAX_SELECTED} runs are selected, the most that are shown together.")
            self.selected = after
        return after
