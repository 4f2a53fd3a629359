"""The runs folder as the page reads it, and which of its runs are selected."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from neatlab.errors import BadInput
from neatlab.runs.run import Run
from neatlab.runs.store import RUN_ID, Store

MAX_SELECTED = 20  # runs that are shown together


class Listing(NamedTuple):
    """The runs folder as it is.

    Args:
        runs: Every run that can be shown, newest first, by its id.
        damaged: Id of each that cannot → why.
    """

    runs: dict[str, Run]
    damaged: dict[str, str]


class Chosen(NamedTuple):
    """The runs of a selection that are there, and what is wrong with the others."""

    runs: list[Run]
    problems: list[str]


def read_store(store: Store) -> Listing:
    """Every run of the folder; one whose method or task this version does not know counts as damaged."""
    readable, broken = store.survey()
    runs, damaged = {}, {run_id: str(error) for run_id, error in broken.items()}
    for run in reversed(readable):
        try:
            _ = run.config.arm.label, run.config.spec.metric  # both look their names up
        except (KeyError, ValueError) as error:  # BadInput and pydantic's refusals are ValueErrors
            damaged[run.run_id] = f"its settings are not known to this version ({_first_line(error)})"
        else:
            runs[run.run_id] = run
    return Listing(runs, damaged)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"[:200]


def choose(listing: Listing, given: Any) -> Chosen:
    """The runs with these ids, in their order, each once.

    Args:
        listing: What there is.
        given: From the page, a link or anyone: checked here.

    Raises:
        BadInput: No list of ids, or too many.
    """
    asked = [] if given is None else given
    if not isinstance(asked, list | tuple) or not all(isinstance(item, str) for item in asked):
        raise BadInput("the selection is not a list of run ids")
    if len(ids := list(dict.fromkeys(asked))) > MAX_SELECTED:
        raise BadInput(f"{len(ids)} runs selected; at most {MAX_SELECTED} are shown together: take some away")
    problems = [_problem(listing, run_id) for run_id in ids if run_id not in listing.runs]
    return Chosen([listing.runs[run_id] for run_id in ids if run_id in listing.runs], problems)


def require_runs(listing: Listing, given: Any) -> list[Run]:
    """The runs with these ids, at least one of which must exist.

    Raises:
        BadInput: None of them is there, or what `choose` refuses.
    """
    runs, problems = choose(listing, given)
    if not runs:
        raise BadInput(next(iter(problems), "no run is selected; click a row of the table first"))
    return runs


def _problem(listing: Listing, run_id: str) -> str:
    if run_id in listing.damaged:
        return f"run {run_id} is damaged: {listing.damaged[run_id]}"
    if not RUN_ID.fullmatch(run_id):
        return f"run id {run_id[:40]!r}; an id is 12 hexadecimal digits"
    return f"no run {run_id} in this runs folder; it may have been deleted"


def by_task(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Task → its runs; metrics and losses of different tasks do not belong on one axis."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(run.config.spec.label, []).append(run)
    return groups


def choices(listing: Listing) -> list[tuple[str, str]]:
    """(text, id) of every run, to select it by its name."""
    return [(run_text(run), run_id) for run_id, run in listing.runs.items()]


def run_text(run: Run) -> str:
    """A run in a few words."""
    config = run.config
    return f"{config.arm.label} · seed {config.seed} · {config.spec.label} · {run.run_id}"
