"""`neatlab data`: what there is to train on."""

import argparse
from collections.abc import Callable
from typing import Any

from neatlab.cli.columns import aligned
from neatlab.cli.commands import print_json

LISTED = ("task", "family", "examples", "seconds", "license", "source")
ABOUT = """
Every task that comes with neatlab, a line each of its settings, as --task takes them. seconds is the median time that a
finished run of it took in the runs folder, scores included; there is none where nothing of it has run there. --json has
also the base model, and the bytes of the texts that the package has for it.
"""


def add_data(subparsers: Any, add_shared: Callable[[argparse.ArgumentParser], None]) -> None:
    """Add the command `data`.

    Args:
        subparsers: Of the program.
        add_shared: Adds the options that every command has.
    """
    parser = subparsers.add_parser("data", help="list the tasks: data, base, licence, time", description=ABOUT)
    add_shared(parser)
    parser.set_defaults(run=list_data)


def list_data(arguments: argparse.Namespace) -> None:
    """A line a task."""
    from neatlab.experiments.data import data

    rows = data(arguments.runs)
    if arguments.json:
        print_json(rows)
        return
    print(aligned([list(LISTED), *([_cell(row[name]) for name in LISTED] for row in rows)]))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.1f}" if isinstance(value, float) else str(value)
