"""What a process does that writes a replay for a download."""

from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

from neatlab.dashboard.replay.page import replay
from neatlab.dashboard.shared.process import begin
from neatlab.errors import NeatlabError
from neatlab.runs.store import Store


def write(order: tuple[Sequence[str], str], root: str, pipe: "Connection[Any, Any]") -> None:
    """Write finished runs as one page, whole or not at all.

    Args:
        order: Ids of the runs, and path of the file.
        root: Runs folder.
        pipe: Gives ("refused", "run", message) where nothing could be written.
    """
    begin()
    ids, target = order
    try:
        store = Store(root)
        replay([store.get(run_id) for run_id in ids], target)
    except (NeatlabError, OSError) as error:
        pipe.send(("refused", "run", str(error)))
