"""The command that rewinds a finished run."""

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from neatlab.cli.columns import aligned
from neatlab.cli.commands import print_json
from neatlab.runtime.numbers import number

if TYPE_CHECKING:
    from neatlab.experiments.rewind import Rewinding


def add_rewind(subparsers: Any, add_shared: Callable[[argparse.ArgumentParser], None]) -> None:
    """Declare the command."""
    parser = subparsers.add_parser("rewind", help="score a finished run with W₀ + α·ΔW for several α")
    parser.add_argument("id", metavar="RUN_ID", help="a finished run")
    add_shared(parser)
    parser.set_defaults(run=rewind)


def rewind(arguments: argparse.Namespace) -> None:
    """A run's score and what is left of the base for several multiples of its ΔW."""
    from neatlab.experiments.rewind import rewind as rewind_run
    from neatlab.runs.store import Store

    curve = rewind_run(Store(arguments.runs).get(arguments.id))
    if arguments.json:
        print_json(curve.to_dict())
        return
    print(_table(curve), "", curve.sentence, sep="\n")


def _table(curve: "Rewinding") -> str:
    base = [curve.base_metric] if curve.base_metric else []
    head = ["α", f"{curve.metric}, validation", "loss, validation", *base, ""]
    rows = [
        [
            f"{point.alpha:g}",
            number(point.metric),
            number(point.loss),
            *[number(point.base_metric) for _ in base],
            "best" if point.alpha == curve.best else "",
        ]
        for point in curve.points
    ]
    return aligned([head, *rows])
