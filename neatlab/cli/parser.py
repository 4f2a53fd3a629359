"""The command line: `neatlab compare | sweep | suite | data | runs | replay | inspect | edit | export | rewind |
snippet | app`.

One JSON document on standard output with --json and nothing else there; progress and warnings go to standard
error. Exit 0 done, 2 bad input, 1 anything else, a rule of `inspect --check` that failed among it.
"""

import argparse
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

from neatlab.adapters.forms import FORMS
from neatlab.cli import commands
from neatlab.cli.app import add_app
from neatlab.cli.data import add_data
from neatlab.cli.edit import add_edit
from neatlab.cli.replay import add_replay
from neatlab.cli.rewind import add_rewind
from neatlab.cli.runs import add_runs
from neatlab.cli.snippet import snippet
from neatlab.cli.suite import add_suite
from neatlab.errors import BadInput, NeatlabError, StoreError
from neatlab.export.formats import SCRIPTS
from neatlab.runtime import distributed
from neatlab.runtime.lazy import naming_extras

RUNS = "runs"
HUB_ON_REQUEST = {"HF_HUB_OFFLINE": "1", "NEATLAB_HUB": "ask"}  # a model or data set comes from a hub by name alone


class _Parser(argparse.ArgumentParser):
    """An argument parser whose refusals are one line, like all others."""

    def error(self, message: str) -> NoReturn:
        raise BadInput(f"{message}; see {self.prog} --help")


class _Version(argparse.Action):
    """Prints what stands below neatlab, and ends."""

    def __init__(self, option_strings: Sequence[str], dest: str, **settings: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, **settings)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        from neatlab.runtime.environment import report

        print(report(RUNS))
        parser.exit()


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: The words after the program's name; those of the process by default.

    Returns:
        The exit code.
    """
    try:
        with _process_settings():
            _run(list(sys.argv[1:] if argv is None else argv))
        return 0
    except (BadInput, StoreError) as error:
        return _fail(str(error), 2)
    except NeatlabError as error:
        return _fail(str(error), 1)
    except KeyboardInterrupt:
        if not distributed.is_main():
            return 1
        return _fail("stopped; finished runs are kept, and the same command goes on from there", 1)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _run(words: list[str]) -> None:
    arguments = _parser().parse_args(words)
    arguments.words = words
    if arguments.run is not commands.compare:
        distributed.require_single_process(words[0])
    with distributed.silence_workers(), naming_extras(words[0]):
        arguments.run(arguments)


@contextmanager
def _process_settings() -> Iterator[None]:
    """What a command sets for its process, put back afterwards: warnings as one line, and no hub but on request."""
    added = {} if "HF_HUB_OFFLINE" in os.environ else HUB_ON_REQUEST
    os.environ |= added
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            yield
    finally:
        for name in added:
            os.environ.pop(name, None)


def _fail(message: str, code: int) -> int:
    distributed.wait_for_main()
    print(f"neatlab: {message}", file=sys.stderr)
    return code


def _show_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    if issubclass(category, UserWarning):
        print(f"neatlab: warning: {message}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="neatlab", description="NEAT and LoRA side by side.")
    parser.add_argument("--version", action=_Version, help="versions of everything that matters, device and folders")
    subparsers = parser.add_subparsers(required=True, metavar="command")
    _add_compare(subparsers)
    _add_sweep(subparsers)
    add_suite(subparsers, _add_cluster, _add_fairness, _add_shared)
    add_data(subparsers, _add_shared)
    add_runs(subparsers, _add_shared)
    add_replay(subparsers, _add_shared)
    _add_inspect(subparsers)
    add_edit(subparsers, _add_shared)
    _add_export(subparsers)
    add_rewind(subparsers, _add_shared)
    _add_snippet(subparsers)
    add_app(subparsers, RUNS, _count, _share)
    return parser


def _add_compare(subparsers: Any) -> None:
    parser = subparsers.add_parser("compare", help="train arms on one task and compare them with intervals")
    parser.add_argument("--task", help="digits, teacher:kind=low-rank,d_in=64, …")
    parser.add_argument("--arm", action="append", dest="arms", help="lora:rank=4 or neat:rank=4,depth=4")
    parser.add_argument("--recipe", metavar="NAME", help="an experiment of the paper: glue/rte, glue/rte:model=DIR, …")
    _add_fairness(parser)
    _add_shared(parser)
    parser.set_defaults(run=commands.compare)


def _add_sweep(subparsers: Any) -> None:
    from neatlab.experiments.presets import SWEEPS

    parser = subparsers.add_parser("sweep", help="train a grid of arms on several seeds, many runs at once")
    parser.add_argument("--task", required=True, help="digits, teacher:kind=low-rank,d_in=64, …")
    parser.add_argument(
        "--arm", action="append", default=[], dest="arms", help="an arm that the axes vary: neat:rank=4"
    )
    parser.add_argument("--grid", action="append", default=[], metavar="AXIS=V,V", help="depth=2,4 or task.kind=a,b")
    parser.add_argument("--preset", choices=sorted(SWEEPS), help="a ready grid")
    parser.add_argument("--reference", metavar="ARM", help="the arm that the others are held against")
    _add_cluster(parser)
    parser.add_argument("--prune", action="store_true", help="successive halving on validation data")
    _add_fairness(parser)
    _add_shared(parser)
    parser.set_defaults(run=commands.sweep)


def _add_cluster(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--workers", type=_count, help="local processes, one thread each (default: one a core)")
    parser.add_argument("--scheduler", metavar="tcp://HOST:PORT", help="a Dask cluster to use instead")
    parser.add_argument("--dry-run", action="store_true", help="how many runs, how long, what is there already")
    parser.add_argument("--yes", action="store_true", help="allow more than 5,000 runs")


def _add_fairness(parser: argparse.ArgumentParser, seeds: int | None = 3, default: str = "3") -> None:
    parser.add_argument(
        "--seeds",
        type=_seeds,
        default=seeds,
        metavar="N|auto",
        help=f"how many (default {default}), or as many as decide it",
    )
    parser.add_argument(
        "--max-seeds", type=_count, default=20, metavar="N", help="the most of --seeds auto (default 20)"
    )
    parser.add_argument("--budget", metavar="20m", help="time that --seeds auto may take: 90s, 20m, 1.5h")
    parser.add_argument("--match", choices=("rank", "params"), help="size every adapter as the first arm's")
    parser.add_argument("--lr", help="adapter learning rate, or auto: each arm's best on validation data")
    _add_training(parser)
    parser.add_argument(
        "--margin", type=_number, metavar="X", help="largest difference that does not matter (default: the metric's)"
    )
    parser.add_argument(
        "--over",
        choices=("examples", "seeds"),
        default="examples",
        help="what the verdict holds for: new examples and new seeds (default), or new seeds on these examples",
    )
    parser.add_argument("--report", metavar="F.html", help="write a self-contained page")


def _add_training(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--steps", help="optimiser steps (default: the task's)")
    parser.add_argument(
        "--train",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="batch_size=16, accumulate=4, precision=bfloat16",
    )


def _add_inspect(subparsers: Any) -> None:
    parser = subparsers.add_parser("inspect", help="what an adapter did to the weights; several are compared")
    parser.add_argument("paths", nargs="+", metavar="DIR|FILE", help="an adapter folder, a LoRA file, or a checkpoint")
    parser.add_argument("--base", metavar="MODEL_OR_DIR", help="the model before, a folder or in the local hub cache")
    parser.add_argument("--directions", type=_whole, default=16, help="of W₀ to compare with, 0 for none (default 16)")
    parser.add_argument("--report", metavar="F.html", help="write a self-contained page")
    parser.add_argument("--check", metavar="RULES.toml", help="rules to pass: effective_rank_below = 1.5, …; exit 1")
    parser.add_argument("--sarif", metavar="FILE", help="write what fails them as SARIF 2.1.0")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.set_defaults(run=commands.inspect)


def _add_export(subparsers: Any) -> None:
    parser = subparsers.add_parser("export", help="write a trained adapter in another form")
    parser.add_argument("id", metavar="RUN_ID|DIR", help="a finished run, or a NEAT or PEANuT adapter's folder")
    parser.add_argument("--base", metavar="MODEL_OR_DIR", help="of a folder: the model that it was trained on")
    parser.add_argument("--format", required=True, choices=tuple(FORMS))
    parser.add_argument("--out", required=True, metavar="DIR", help="a folder that does not exist yet, or is empty")
    _add_shared(parser)
    parser.set_defaults(run=commands.export)


def _add_snippet(subparsers: Any) -> None:
    parser = subparsers.add_parser("snippet", help="a run, or an arm, as a short script for your own model and data")
    parser.add_argument("id", nargs="?", metavar="RUN_ID", help="a run, finished or not; or give --arm")
    parser.add_argument("--arm", help="an arm that nobody has trained: neat:rank=4,depth=4")
    parser.add_argument("--task", help="of --arm: whose layers and training settings it has (default: digits)")
    parser.add_argument("--lr", help="of --arm: adapter learning rate (default: the task's)")
    _add_training(parser)
    parser.add_argument(
        "--form",
        choices=tuple(SCRIPTS),
        default="peft",
        help="neatlab's own loop, batch for batch (peft, the default), or transformers' Trainer",
    )
    parser.add_argument("--out", metavar="FILE", help="write it there; the file must not exist yet")
    _add_shared(parser)
    parser.set_defaults(run=snippet)


def _add_shared(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs", default=RUNS, metavar="DIR", help=f"runs folder (default: {RUNS})")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")


def _seeds(text: str) -> int | str:
    return text if text == "auto" else _count(text)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None


def _share(text: str) -> float:
    if not 0 < _number(text) <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share above 0 and up to 1, such as 0.25")
    return _number(text)


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
    return int(text)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)
