"""The command that writes finished runs as a page with a slider through time."""

import argparse
from collections.abc import Callable
from typing import Any

from tqdm import tqdm

from neatlab.cli.commands import print_json


def add_replay(subparsers: Any, add_shared: Callable[[argparse.ArgumentParser], None]) -> None:
    """Add the command `replay`.

    Args:
        subparsers: Of the program.
        add_shared: Adds the options that every command about runs has.
    """
    parser = subparsers.add_parser("replay", help="finished runs as one offline page with a slider through time")
    parser.add_argument("ids", nargs="+", metavar="RUN_ID", help="the runs of one comparison, a run an arm and seed")
    parser.add_argument("--out", required=True, metavar="F.html", help="the file to write")
    parser.add_argument("--seed", type=int, metavar="N", help="whose runs are shown (default: the first)")
    parser.add_argument(
        "--layer", action="append", dest="layers", metavar="NAME", help="a layer (default: twelve, evenly)"
    )
    add_shared(parser)
    parser.set_defaults(run=replay_runs)


def replay_runs(arguments: argparse.Namespace) -> None:
    """Runs of a folder as one page."""
    from neatlab.dashboard.replay.page import replay
    from neatlab.runs.store import Store

    store = Store(arguments.runs)
    runs = [store.get(run_id) for run_id in dict.fromkeys(arguments.ids)]
    with tqdm(unit="moment", leave=False, delay=0.5) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        made = replay(runs, arguments.out, arguments.seed, arguments.layers, show)
    if arguments.json:
        print_json({**made._asdict(), "path": str(made.path)})
        return
    print(
        f"{made.path}: {len(made.arms)} arms, seed {made.seed}, {len(made.layers)} layers, {len(made.steps)} moments, "
        f"{made.size / 1e6:.1f} MB",
        *made.notes,
        sep="\n",
    )
