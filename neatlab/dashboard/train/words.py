"""The Train tab's texts."""

from neatlab.dashboard.shared.html import status
from neatlab.dashboard.shared.jobs import Jobs
from neatlab.dashboard.train.request import BaseProgress, Order
from neatlab.dashboard.train.snapshot import RunsSnapshot
from neatlab.dashboard.train.window import TrainWindow
from neatlab.runtime.numbers import duration
from neatlab.runtime.templates import macros

_HTML = macros(__file__)


HEADER = _HTML.header()
READY = status("Choose a task and two to four arms, then press Train.")
BEFORE_FIRST_STEP = {
    "preparing": status(
        "Preparing: loading the base checkpoint. The first time it is trained, which takes seconds to minutes."
    ),
    "running": status("Starting."),
    "pausing": status("Pausing."),
    "paused": status("Paused. Before the first step."),
}
STOPPING = status("Stopping.")
STOPPED = status("Stopped. Before the first step.")
NO_TABLE = _HTML.no_table()
NOTE = _HTML.note()
ACTIVE = {"pausing": "Pausing", "paused": "Paused"}


def before_first_step(window: TrainWindow, jobs: Jobs) -> str:
    """The status while there is nothing to draw."""
    job = window.job
    if job and job.phase == "waiting":
        training = sum(other.phase != "waiting" for other in jobs.active())
        verb = "trains" if training == 1 else "train"
        return status(f"Waiting: place {jobs.position(job)} in the queue; {training} {verb} now.")
    if job and job.stopped:
        return STOPPING if window.active else STOPPED
    if job and window.phase == "preparing" and isinstance(job.result, BaseProgress):
        return _base_progress(window, job.result)
    return BEFORE_FIRST_STEP.get(window.phase, READY)


def _base_progress(window: TrainWindow, seen: BaseProgress) -> str:
    """How far the base is, and the time that is left of it."""
    seconds = window.time_left.seconds(seen.done, seen.total)
    left = "" if seconds is None else f" About {duration(seconds)} left."
    return status(f"Training the {seen.what}, once.", f"Step {seen.done} of {seen.total}.{left}", seen.done, seen.total)


def progress_text(window: TrainWindow, runs: RunsSnapshot, goes_on: bool = False) -> str:
    """How the runs go, in words.

    Args:
        window: The window.
        runs: Its runs.
        goes_on: Whether more may come of one that is watched.
    """
    notes = [_watched(window.watched, runs, goes_on) if window.watched else _activity(window, runs)]
    if stored := sum(run.run_id in window.stored for run in runs.runs):
        notes.append(f"{stored} of {len(runs.arms)} runs were stored already.")
    if failed := [run.config.arm.label for run in runs.runs if run.status == "failed"]:
        notes.append(f"Diverged: {', '.join(failed)}; see the table.")
    if window.view.at is not None:
        notes.append(f"The cursor is at step {window.view.at}.")
    return " ".join(notes)


def _watched(run_id: str, runs: RunsSnapshot, goes_on: bool) -> str:
    state = "Done" if runs.runs[0].summary else "It goes on" if goes_on else "Ended without a summary"
    return f"Run {run_id}, {runs.runs[0].config.spec.label}. {state}."


def _activity(window: TrainWindow, runs: RunsSnapshot) -> str:
    if len(runs.runs) == len(runs.arms) and all(run.summary for run in runs.runs):
        return "Done."
    if window.active:
        owner = "" if window.active.owned_by(window) else " in another window, which alone can pause or stop it"
        word = "Stopping" if window.active.stopped else ACTIVE.get(window.phase, "Training")
        return f"{word}{owner}."
    return "Stopped. Train begins anew what did not finish."


def refused(field: str, text: str) -> str:
    """The status after a refusal, for those who do not see the fields."""
    return status(f"Not started. {'Settings' if field == 'run' else f'Arm {field.upper()}'}: {text}")


def command_note(order: Order | None) -> str:
    """The command that answers the question with intervals, once there is one."""
    return NOTE if order is None else _HTML.command_note(order.command)
