"""One run directory, read: what was run, how it stands, and whether the directory is what its name says."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson

from neatlab.config import RunConfig, digest
from neatlab.errors import StoreError
from neatlab.runs.jsonlines import MAX_EVENTS_BYTES, read_lines
from neatlab.runs.notes import NO_NOTES, NOTES, Notes, read_notes
from neatlab.runs.outcomes import read_outcomes
from neatlab.runs.outside import parse_config
from neatlab.runtime.files import open_regular
from neatlab.tasks.outcomes import Outcomes

READ_FILES = ("config.json", "summary.json", NOTES)  # what `read_run` reads
ENDED = ("finished", "failed", "pruned")
COUNTS = ("adapter_params", "trainable_params")
MAX_JSON_BYTES = 2**24  # of a configuration or a summary
LAST_EVENT_BYTES = 4096  # enough for the events that a run can end with
OLD_INTERRUPTION = {"type": "RunFailed", "error": "interrupted"}.items()  # before the event had a type
FIRST_DEFAULTS = {"accumulate": 1, "precision": "float32", "gradient_checkpointing": False, "device": "auto"}.items()


@dataclass(frozen=True)
class Run:
    """One run directory that could be read.

    Args:
        path: The directory.
        config: What was run.
        environment: Package versions, device and start time.
        summary: The result; empty while the run is not finished.
        notes: Tags and the note that people gave it.
    """

    path: Path
    config: RunConfig
    environment: dict[str, Any]
    summary: dict[str, Any]
    notes: Notes = NO_NOTES

    @property
    def run_id(self) -> str:
        """The directory's name."""
        return self.path.name

    @property
    def status(self) -> str:
        """One of finished, failed (diverged), pruned, interrupted (stopped), unfinished (running or killed)."""
        if self.summary:
            return str(self.summary["status"])
        return "interrupted" if _was_interrupted(self.path / "events.jsonl") else "unfinished"

    @cached_property
    def events(self) -> list[dict[str, Any]]:
        """The events so far as plain values; a torn last line is left out."""
        return read_lines(self.path / "events.jsonl")

    @cached_property
    def outcomes(self) -> Outcomes | None:
        """True and predicted value of each test example; None before the end, in older runs, and of tasks without.

        Raises:
            StoreError: The file is damaged.
        """
        return read_outcomes(self.path) if self.summary.get("status") == "finished" else None


def _was_interrupted(path: Path) -> bool:
    """Whether the last event says that the run was stopped, from the file's last bytes alone."""
    try:
        with open_regular(path, MAX_EVENTS_BYTES) as file:
            file.seek(max(0, path.stat().st_size - LAST_EVENT_BYTES))
            last = file.read().rstrip(b"\n").rpartition(b"\n")[2]
        event = orjson.loads(last)
    except (OSError, orjson.JSONDecodeError):
        return False
    return isinstance(event, dict) and (event.get("type") == "RunInterrupted" or event.items() >= OLD_INTERRUPTION)


def read_run(path: Path) -> Run:
    """The run in `path`.

    Raises:
        StoreError: Its configuration or summary is missing or damaged.
    """
    stored = read_json(path / "config.json")
    ended = (path / "summary.json").exists()  # asked once: the run may end while it is read
    summary = read_json(path / "summary.json") if ended else {}
    try:
        config, started = parse_config(stored["run"]), dict(stored["environment"])
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(f"{path / 'config.json'} is not a run's configuration: {error}") from error
    if not _is_named(path.name, stored, config):
        raise StoreError(f"{path / 'config.json'} was changed, or belongs to another run")
    if summary:
        _check_summary(path / "summary.json", summary)
    elif ended:
        raise StoreError(f"{path / 'summary.json'} is empty")
    return Run(path, config, started, summary, _notes(path))


def _notes(path: Path) -> Notes:
    """What is said of a run; damage there damages no result."""
    try:
        return read_notes(path)
    except StoreError as error:
        warnings.warn(f"tags and note of run {path.name} are left out: {error}", stacklevel=2)
        return NO_NOTES


def _is_named(name: str, stored: dict[str, Any], config: RunConfig) -> bool:
    """Whether `stored` is what was written for the run `name`.

    Folders of today carry a seal, which is checked without the tasks' defaults and so without torch.
    """
    if "seal" in stored:
        return bool(stored["seal"] == seal(name, stored["run"]))
    return name == first_id(stored["run"]) or name == config.run_id


def seal(run_id: str, values: Mapping[str, Any]) -> str:
    """What a stored configuration is recognised by as that of the run `run_id`, whole and unchanged."""
    return digest({"run_id": run_id, "run": values})


def first_id(values: Mapping[str, Any]) -> str:
    """The name of a run under the first rule, by which folders without a seal are named.

    Every field entered but `save_every`, and four of the training only where they differed from these values.
    """
    training = {name: value for name, value in values["training"].items() if name != "save_every"}
    return digest({**values, "training": dict(training.items() - FIRST_DEFAULTS)})


def _check_summary(path: Path, summary: dict[str, Any]) -> None:
    if summary.get("status") not in ENDED:
        raise StoreError(f"{path}: status {summary.get('status')!r}; allowed: {', '.join(ENDED)}")
    numbers = {name: value for name, value in summary.items() if name not in ("status", "error")}
    wrong = [name for name, value in numbers.items() if not isinstance(value, int | float | None)]
    wrong += [name for name in COUNTS if not isinstance(summary.get(name), int)]
    if summary["status"] == "finished":
        wrong += [name for name in ("seconds", "seconds_per_step") if not isinstance(summary.get(name), int | float)]
    if wrong:
        raise StoreError(f"{path}: {', '.join(dict.fromkeys(wrong))} should be a number")


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        StoreError: It cannot be read, or holds something else.
    """
    try:
        with open_regular(path, MAX_JSON_BYTES) as file:
            value = orjson.loads(file.read())
    except (OSError, orjson.JSONDecodeError) as error:
        raise StoreError(f"{path} cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise StoreError(f"{path} does not hold an object")
    return value
