"""The command that changes an adapter."""

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from neatlab.cli.columns import aligned
from neatlab.cli.commands import print_json
from neatlab.errors import BadInput
from neatlab.runtime.numbers import DASH, bytes_number, number, signed_interval

if TYPE_CHECKING:
    from neatlab.editing import Edit, EditCurve

SWEEP_HELP = "one act at several values, each scored: compress:rank=1+2+4; --out takes the smallest that is as good"
ACTS_HELP = "compress:rank=2, rewind:alpha=0.8, …; several are done in this order"


def add_edit(subparsers: Any, add_shared: Callable[[argparse.ArgumentParser], None]) -> None:
    """Declare the command."""
    parser = subparsers.add_parser("edit", help="compress, scale, rewind, merge or convert an adapter")
    parser.add_argument(
        "adapter", metavar="RUN_ID|DIR|FILE", help="a finished run, an adapter folder, a zip of one, or a LoRA file"
    )
    parser.add_argument("--act", action="append", default=[], dest="acts", metavar="ACT", help=ACTS_HELP)
    parser.add_argument("--sweep", metavar="ACT", help=SWEEP_HELP)
    parser.add_argument("--out", metavar="DIR", help="a folder that does not exist yet, or is empty")
    parser.add_argument("--base", metavar="MODEL_OR_DIR", help="the model that the adapter was trained on")
    parser.add_argument("--task", help="score before and after on its test split: own for a run's, or digits, …")
    parser.add_argument("--margin", type=float, metavar="X", help="largest difference in score that does not matter")
    add_shared(parser)
    parser.set_defaults(run=edit)


def edit(arguments: argparse.Namespace) -> None:
    """Acts on an adapter, and what they did to it."""
    if arguments.sweep is not None:
        _sweep(arguments)
        return
    if arguments.out is None:
        raise BadInput("--out is missing; give the folder to write the adapter to")
    done = _edited(arguments, arguments.acts)
    if arguments.json:
        print_json(done.to_dict())
        return
    print(_table(done), "", _sum(done), *([done.proof.sentence] if done.proof else []), f"wrote {done.out}", sep="\n")


def _sweep(arguments: argparse.Namespace) -> None:
    """One act at several values, and the smallest adapter that is as good."""
    from neatlab.cli.terminal import LayerProgressBar
    from neatlab.editing import edit_curve

    if arguments.acts:
        raise BadInput("--act and --sweep; give one")
    if arguments.task is None:
        raise BadInput("--sweep scores each value; give --task: own for a run's, or digits, …")
    with LayerProgressBar() as progress:
        words = {name: getattr(arguments, name) for name in ("task", "margin", "runs")}
        curve = edit_curve(arguments.adapter, arguments.sweep, arguments.base, on_value=progress, **words)
    if curve.act and arguments.out:
        arguments.task, arguments.margin = None, None
        _edited(arguments, [curve.act])
    if arguments.json:
        print_json(curve.to_dict())
        return
    wrote = [f"wrote {arguments.out}"] if curve.act and arguments.out else []
    print(_curve_table(curve), "", curve.sentence, *wrote, sep="\n")


def _edited(arguments: argparse.Namespace, acts: list[str]) -> "Edit":
    from neatlab.cli.terminal import LayerProgressBar
    from neatlab.editing import edit as edit_adapter

    with LayerProgressBar() as progress:
        words = {name: getattr(arguments, name) for name in ("task", "margin", "runs")}
        return edit_adapter(arguments.adapter, acts, arguments.out, arguments.base, on_layer=progress, **words)


def _table(done: "Edit") -> str:
    head = ["layer", "d_out × d_in", "rank", "after", "parameters", "after", "rel. Frobenius", "rel. spectral"]
    rows = [
        [
            layer.layer,
            f"{layer.d_out} × {layer.d_in}",
            DASH if layer.rank_before is None else str(layer.rank_before),
            DASH if layer.rank_after is None else str(layer.rank_after),
            number(layer.parameters_before, 0),
            number(layer.parameters_after, 0),
            _error(layer.relative_frobenius),
            _error(layer.relative_spectral),
        ]
        for layer in done.layers
    ]
    return aligned([head, *rows])


def _sum(done: "Edit") -> str:
    return (
        f"{done.adapter}: {done.type_before} → {done.type_after}, {done.parameters_before:,} → "
        f"{done.parameters_after:,} parameters, {bytes_number(done.bytes_before)} → {bytes_number(done.bytes_after)}, "
        f"relative error {_error(done.relative_frobenius)} (Frobenius), "
        f"{_error(done.relative_spectral)} at most (spectral)"
    )


def _error(value: float) -> str:
    return DASH if value != value else f"{value:.2g}"


def _curve_table(curve: "EditCurve") -> str:
    base = [curve.base_metric] if curve.base_metric else []
    head = [curve.option, "parameters", f"{curve.metric}, validation", "95 % interval of the difference", "verdict"]
    rows = [
        [
            f"{point.value:g}",
            f"{point.parameters:,}",
            number(point.proof.after),
            signed_interval(point.proof.low, point.proof.high),
            point.proof.verdict,
            *[number(point.proof.base_after) for _ in base],
            "smallest" if point.value == curve.smallest else "",
        ]
        for point in curve.points
    ]
    return aligned([[*head, *base, ""], *rows])
