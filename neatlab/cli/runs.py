"""The commands about runs that are there: list, show, tag, note, export."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import orjson

from neatlab.cli.columns import aligned
from neatlab.cli.commands import print_json
from neatlab.errors import BadInput

LISTED = ("run", "task", "arm", "seed", "status", "steps", "lr", "metric", "created")


def add_runs(subparsers: Any, add_shared: Callable[[argparse.ArgumentParser], None]) -> None:
    """Add the command `runs`.

    Args:
        subparsers: Of the program.
        add_shared: Adds the options that every action has.
    """
    parser = subparsers.add_parser("runs", help="list, show, tag or export the runs of a folder")
    actions = parser.add_subparsers(required=True, metavar="list|show|tag|note|export")
    listing = actions.add_parser("list", help="a line a run")
    listing.add_argument("--tag", action="append", default=[], help="only runs that have it; several: all of them")
    listing.set_defaults(run=list_runs)
    showing = actions.add_parser("show", help="one run's configuration and result")
    showing.add_argument("id")
    showing.set_defaults(run=show_run)
    others = (_add_tag(actions), _add_note(actions), _add_export(actions))
    for action in (listing, showing, *others):
        add_shared(action)


def _add_tag(actions: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser("tag", help="add tags to runs, or take them away")
    parser.add_argument("ids", nargs="+", metavar="RUN_ID")
    parser.add_argument("--add", action="append", default=[], metavar="TAG")
    parser.add_argument("--remove", action="append", default=[], metavar="TAG")
    parser.set_defaults(run=tag_runs)
    return parser


def _add_note(actions: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser("note", help="write a note to a run")
    parser.add_argument("id", metavar="RUN_ID")
    parser.add_argument("text", help='plain text in place of the note before; "" removes it')
    parser.set_defaults(run=note_run)
    return parser


def _add_export(actions: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser("export", help="all runs as a table")
    parser.add_argument("--csv", metavar="F", help="file to write (default: standard output)")
    parser.add_argument("--tensorboard", metavar="DIR", help="write event files for TensorBoard instead")
    parser.add_argument("--trackio", metavar="PROJECT", help="log to a trackio project instead")
    parser.set_defaults(run=export_runs)
    return parser


def list_runs(arguments: argparse.Namespace) -> None:
    """A line a run."""
    from neatlab.runs.notes import checked_tags
    from neatlab.runs.outside import OUTSIDE
    from neatlab.runs.results import Results, load_runs

    wanted = set(checked_tags(arguments.tag))
    runs = [run for run in load_runs(arguments.runs).runs if wanted <= set(run.notes.tags)]
    frame = Results(runs).frame()
    if arguments.json:
        print_json(orjson.loads(frame.to_json(orient="records")))
    elif frame.empty:
        print(f"no runs in {arguments.runs}" + (f" with {_spoken(sorted(wanted))}" if wanted else ""))
    else:
        columns = [name for name in LISTED if name in frame] + ["tags"] * bool(frame["tags"].any())
        frame["task"] = [run.config.spec.label if run.config.task == OUTSIDE else run.config.task for run in runs]
        cells = frame[columns].astype(object).where(frame[columns].notna(), "")
        print(aligned([columns, *cells.map(str).to_numpy().tolist()]))


def show_run(arguments: argparse.Namespace) -> None:
    """One run's configuration and result."""
    from neatlab.runs.store import Store

    run = Store(arguments.runs).get(arguments.id)
    shown = {
        "run": run.run_id,
        "status": run.status,
        "config": run.config.model_dump(),
        "summary": run.summary,
        "environment": run.environment,
        **run.notes._asdict(),
    }
    if arguments.json:
        print_json(shown)
        return
    for name, value in shown.items():
        print(
            f"{name}: {value if isinstance(value, str) else orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()}"
        )


def tag_runs(arguments: argparse.Namespace) -> None:
    """Change the tags of runs, all of which must be there."""
    from neatlab.runs.store import Store

    if not (arguments.add or arguments.remove):
        raise BadInput("runs tag needs --add TAG or --remove TAG; `runs list` shows the tags there are")
    store = Store(arguments.runs)
    ids = [store.get(run_id).run_id for run_id in dict.fromkeys(arguments.ids)]
    tags = {run_id: store.annotate(run_id, arguments.add, arguments.remove).tags for run_id in ids}
    if arguments.json:
        print_json(tags)
        return
    for run_id, own in tags.items():
        print(f"{run_id}: {_spoken(own)}")


def note_run(arguments: argparse.Namespace) -> None:
    """Write the note of a run."""
    from neatlab.runs.store import Store

    notes = Store(arguments.runs).annotate(arguments.id, note=arguments.text)
    if arguments.json:
        print_json({arguments.id: notes.note})
        return
    print(f"{arguments.id}: {notes.note or 'no note'}")


def _spoken(tags: Sequence[str]) -> str:
    if not tags:
        return "no tags"
    return f"tag{'' if len(tags) == 1 else 's'} {', '.join(tags)}"


def export_runs(arguments: argparse.Namespace) -> None:
    """All runs as CSV, or to a tracker."""
    from neatlab.export import trackers
    from neatlab.runs.results import load_runs

    results = load_runs(arguments.runs)
    if arguments.tensorboard:
        trackers.to_tensorboard(results, arguments.tensorboard)
    if arguments.trackio:
        trackers.to_trackio(results, arguments.trackio)
    frame = results.frame()
    if arguments.csv:
        _write_text(arguments.csv, frame.to_csv(index=False))
    if arguments.json:
        print_json(orjson.loads(frame.to_json(orient="records")))
    elif not (arguments.csv or arguments.tensorboard or arguments.trackio):
        print(frame.to_csv(index=False), end="")


def _write_text(path: str, text: str) -> None:
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{path} cannot be written: {error.strerror}") from error
