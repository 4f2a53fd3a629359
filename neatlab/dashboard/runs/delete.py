"""Deleting runs: what is asked before, and what is done."""

from collections.abc import Collection, Sequence

from neatlab.dashboard.shared.html import doing, mistake, plural
from neatlab.dashboard.shared.listing import run_text
from neatlab.errors import BadInput, NeatlabError
from neatlab.runs.run import Run
from neatlab.runs.store import Store
from neatlab.runtime.templates import macros

_HTML = macros(__file__)


def asking(
    runs: Sequence[Run], training: Collection[str], foreign: Collection[str] = ()
) -> tuple[tuple[str, ...], str]:
    """The runs to be deleted, and the question whether they should be.

    Args:
        runs: What is selected.
        training: Ids of the runs that this server trains now.
        foreign: Ids of the runs that are not the visitor's to delete.

    Raises:
        BadInput: One of them is being trained, or is not the visitor's.
    """
    ids = tuple(run.run_id for run in runs)
    check_own(ids, foreign, "delete it")
    if busy := [run_id for run_id in ids if run_id in training]:
        raise BadInput(f"run {busy[0]} is being trained; stop it on its tab, or take it out of the selection")
    return ids, _question(runs)


def _question(runs: Sequence[Run]) -> str:
    count = "This run" if len(runs) == 1 else f"These {len(runs)} runs"
    is_unfinished = any(run.status == "unfinished" for run in runs)
    return _HTML.question(count, [(run_text(run), run.status) for run in runs], is_unfinished)


def check_own(ids: Sequence[str], foreign: Collection[str], deed: str) -> None:
    """Refuse a change of runs that are not the visitor's.

    Args:
        ids: What would be changed.
        foreign: Ids of the runs that are not theirs.
        deed: What they would do with it.

    Raises:
        BadInput: One of them is not theirs.
    """
    if others := [run_id for run_id in ids if run_id in foreign]:
        raise BadInput(
            f"run {others[0]} was not made in this browser since the server was started; whoever has made it can "
            f"{deed}, or anybody where the server has a password or was started with --shared-runs"
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
    return gone, "".join([doing(f"{plural(len(gone), 'run')} deleted."), *map(mistake, problems)])
