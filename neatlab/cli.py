"""The command line: `python -m neatlab compare | runs | app`.

One JSON document on standard output with --json and nothing else there; progress and warnings go to standard
error. Exit 0 done, 2 bad input, 1 anything else.
"""

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import orjson

from neatlab.errors import BadInput, NeatlabError, StoreError


class _Parser(argparse.ArgumentParser):
    """An argument parser whose refusals are one line, like all others."""

    def error(self, message: str) -> NoReturn:
        raise BadInput(f"{message}; see {self.prog} --help")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: The words after the program's name; those of the process by default.

    Returns:
        The exit code.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing here comes from a hub
    warnings.showwarning = _show_warning
    try:
        arguments = _parser().parse_args(argv)
        arguments.run(arguments)
        return 0
    except (BadInput, StoreError) as error:
        return _fail(str(error), 2)
    except NeatlabError as error:
        return _fail(str(error), 1)
    except KeyboardInterrupt:
        return _fail("stopped; finished runs are kept, and the same command goes on from there", 1)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _fail(message: str, code: int) -> int:
    print(f"neatlab: {message}", file=sys.stderr)
    return code


def _show_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    if issubclass(category, UserWarning):
        print(f"neatlab: warning: {message}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="neatlab", description="NEAT and LoRA side by side.")
    commands = parser.add_subparsers(required=True, metavar="command")
    _add_compare(commands)
    _add_runs(commands)
    _add_export(commands)
    _add_app(commands)
    return parser


def _add_compare(commands: Any) -> None:
    parser = commands.add_parser("compare", help="train arms on one task and compare them with intervals")
    parser.add_argument("--task", required=True, help="digits, teacher:kind=low-rank,d_in=64, …")
    parser.add_argument("--arm", action="append", required=True, dest="arms", help="lora:rank=4 or neat:rank=4,depth=4")
    parser.add_argument("--seeds", type=_count, default=3, help="how many seeds (default 3)")
    parser.add_argument("--match", choices=("rank", "params"), help="size every adapter as the first arm's")
    parser.add_argument("--lr", help="adapter learning rate, or auto: each arm's best on validation data")
    parser.add_argument("--steps", help="optimiser steps (default: the task's)")
    _add_shared(parser)
    parser.set_defaults(run=_compare)


def _add_runs(commands: Any) -> None:
    parser = commands.add_parser("runs", help="list, show or export the runs of a folder")
    actions = parser.add_subparsers(required=True, metavar="list|show|export")
    _add_shared(listing := actions.add_parser("list", help="a line a run"))
    listing.set_defaults(run=_list_runs)
    showing = actions.add_parser("show", help="one run's configuration and result")
    showing.add_argument("id")
    _add_shared(showing)
    showing.set_defaults(run=_show_run)
    exporting = actions.add_parser("export", help="all runs as a table")
    exporting.add_argument("--csv", metavar="F", help="file to write (default: standard output)")
    _add_shared(exporting)
    exporting.set_defaults(run=_export_runs)


def _add_export(commands: Any) -> None:
    parser = commands.add_parser("export", help="write a finished run's adapter in another form")
    parser.add_argument("id", metavar="RUN_ID")
    parser.add_argument("--format", required=True, choices=("neat", "peanut", "lora", "merged"))
    parser.add_argument("--out", required=True, metavar="DIR", help="a folder that does not exist yet, or is empty")
    _add_shared(parser)
    parser.set_defaults(run=_export)


def _add_app(commands: Any) -> None:
    parser = commands.add_parser("app", help="serve the dashboard")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=_count, default=7860)
    parser.add_argument("--runs", default="runs", metavar="DIR", help="runs folder (default: runs)")
    parser.set_defaults(run=_app)


def _add_shared(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs", default="runs", metavar="DIR", help="runs folder (default: runs)")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def _compare(arguments: argparse.Namespace) -> None:
    from neatlab.lab import compare
    from neatlab.progress import Progress

    with Progress() as progress:
        comparison = compare(
            arguments.task,
            arguments.arms,
            seeds=arguments.seeds,
            match=arguments.match,
            lr=arguments.lr,
            steps=arguments.steps,
            runs=arguments.runs,
            listen=progress,
        )
    if arguments.json:
        _print_json(comparison.to_dict())
        return
    print(_table(comparison.arms()))
    print()
    print("\n".join(comparison.verdict()))


def _table(arms: list[dict[str, Any]]) -> str:
    """Arms as aligned columns; the metric with its 95 % interval over seeds."""
    head = ["arm", "adapter params", "trainable params", f"{arms[0]['metric']} (95 % interval)", "s/step", "eff. rank"]
    rows = [head] + [
        [
            arm["arm"],
            f"{arm['adapter_params']:,}",
            f"{arm['trainable_params']:,}",
            f"{arm['mean']:.4f} [{arm['ci95'][0]:.4f}, {arm['ci95'][1]:.4f}]",
            f"{arm['seconds_per_step']:.4f}",
            f"{arm['effective_rank']:.2f}",
        ]
        for arm in arms
    ]
    return aligned(rows)


def aligned(rows: list[list[str]]) -> str:
    """Rows as text columns: the first to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = (
        "  ".join(
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def _list_runs(arguments: argparse.Namespace) -> None:
    from neatlab.lab import load_runs

    frame = load_runs(arguments.runs).frame()
    columns = [c for c in ("run", "task", "arm", "seed", "status", "steps", "lr", "metric", "created") if c in frame]
    if arguments.json:
        _print_json(orjson.loads(frame.to_json(orient="records")))
    elif frame.empty:
        print(f"no runs in {arguments.runs}")
    else:
        print(aligned([columns, *frame[columns].astype(str).to_numpy().tolist()]))


def _show_run(arguments: argparse.Namespace) -> None:
    from neatlab.store import Store

    run = Store(arguments.runs).get(arguments.id)
    shown = {
        "run": run.run_id,
        "status": run.status,
        "config": run.config.model_dump(),
        "summary": run.summary,
        "environment": run.environment,
    }
    if arguments.json:
        _print_json(shown)
        return
    for name, value in shown.items():
        print(
            f"{name}: {value if isinstance(value, str) else orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()}"
        )


def _export_runs(arguments: argparse.Namespace) -> None:
    from neatlab.lab import load_runs

    frame = load_runs(arguments.runs).frame()
    if arguments.json:
        _print_json(orjson.loads(frame.to_json(orient="records")))
        return
    text = frame.to_csv(index=False)
    if not arguments.csv:
        print(text, end="")
        return
    try:
        Path(arguments.csv).write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{arguments.csv} cannot be written: {error.strerror}") from error


def _export(arguments: argparse.Namespace) -> None:
    from neatlab.export import export
    from neatlab.store import Store

    errors = export(Store(arguments.runs).get(arguments.id), arguments.format, arguments.out)
    if arguments.json:
        _print_json({"run": arguments.id, "format": arguments.format, "out": arguments.out, "relative_error": errors})
        return
    print(f"wrote {arguments.out}")
    for layer, error in errors.items():
        print(f"{layer}: relative error {error:.1e}")


def _app(arguments: argparse.Namespace) -> None:
    from neatlab.dashboard import launch

    launch(arguments.host, arguments.port, arguments.runs)


def _print_json(value: Any) -> None:
    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode() + "\n")
