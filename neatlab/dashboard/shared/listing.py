"""The runs folder as the page reads it, and which of its runs are selected."""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from neatlab.config import RunConfig
from neatlab.errors import BadInput
from neatlab.runs.index import RUN_ID
from neatlab.runs.run import Run
from neatlab.runs.store import Store

MAX_SELECTED = 20  # runs that are shown together
Checked = dict[str, tuple[RunConfig, str]]  # id → configuration, what is wrong with it
_CHECKED: WeakKeyDictionary[Store, Checked] = WeakKeyDictionary()


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


def read_store(store: Store, check: Collection[str] | None = None) -> Listing:
    """Every run of the folder; one whose method or task this version does not know counts as damaged.

    Args:
        store: The folder.
        check: Of the runs that had ended, the ids of those to compare with the disk; None: all.
    """
    readable, broken = store.survey(check)
    before = _CHECKED.get(store, {})
    checked = {run.run_id: _checked(run.config, before.get(run.run_id)) for run in readable}
    _CHECKED[store] = checked
    damaged = {run_id: str(error) for run_id, error in broken.items()}
    damaged |= {run_id: problem for run_id, (_, problem) in checked.items() if problem}
    return Listing({run.run_id: run for run in reversed(readable) if run.run_id not in damaged}, damaged)


def _checked(config: RunConfig, before: tuple[RunConfig, str] | None) -> tuple[RunConfig, str]:
    if before and before[0] is config:
        return before
    try:
        _ = config.arm.label, config.spec.metric  # both look their names up
    except (KeyError, ValueError) as error:  # BadInput and pydantic's refusals are ValueErrors
        return config, f"its settings are not known to this version ({_first_line(error)})"
    return config, ""


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
        return f"run id {run_id[:40]!r}; an id is 12 hexadecimal digits or x and 11"
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
