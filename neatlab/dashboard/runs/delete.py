"""Deleting runs: what is asked before, and what is done."""

import html
from collections.abc import Collection, Sequence

from neatlab.dashboard.shared.html import mistake
from neatlab.dashboard.shared.listing import run_text
from neatlab.errors import BadInput, NeatlabError
from neatlab.runs.run import Run
from neatlab.runs.store import Store


def asking(runs: Sequence[Run], training: Collection[str]) -> tuple[tuple[str, ...], str]:
    """The runs to be deleted, and the question whether they should be.

    Args:
        runs: What is selected.
        training: Ids of the runs that this server trains now.

    Raises:
        BadInput: One of them is being trained.
    """
    ids = tuple(run.run_id for run in runs)
    if busy := [run_id for run_id in ids if run_id in training]:
        raise BadInput(f"run {busy[0]} is being trained; stop it on its tab, or take it out of the selection")
    return ids, _question(runs)


def _question(runs: Sequence[Run]) -> str:
    items = "".join(f"<li>{html.escape(run_text(run))} ({run.status})</li>" for run in runs)
    count = "This run" if len(runs) == 1 else f"These {len(runs)} runs"
    warning = ""
    if any(run.status == "unfinished" for run in runs):
        warning = "<p>One that is unfinished may be in training elsewhere; that training then ends with an error.</p>"
    return (
        f'<div role="status"><p>{count} will be deleted for good, with curves and '
        f"adapter:</p><ul>{items}</ul>{warning}</div>"
    )


def delete_runs(store: Store, ids: Sequence[str], training: Collection[str]) -> tuple[list[str], str]:
    """Delete runs, as far as that is possible.

    Args:
        store: Where they are.
        ids: The runs.
        training: Ids that are left alone, as they are being trained.

    Returns:
        The ids of those that are gone, and what to say.
    """
    gone, problems = [], []
    for run_id in ids:
        try:
            if run_id in training:
                raise BadInput(f"run {run_id} is being trained and was kept")
            store.delete(run_id)
            gone.append(run_id)
        except NeatlabError as error:
            problems.append(str(error))
    count = f"{len(gone)} run{'' if len(gone) == 1 else 's'} deleted."
    return gone, f'<p class="hint" role="status">{count}</p>' + "".join(map(mistake, problems))
