"""The command that changes an adapter."""

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from neatlab.cli.columns import aligned
from neatlab.cli.commands import print_json
from neatlab.runtime.numbers import DASH, bytes_number, number

if TYPE_CHECKING:
    from neatlab.editing import Edit

ACTS_HELP = "compress:rank=2, rewind:alpha=0.8, …; several are done in this order"


def add_edit(subparsers: Any, add_shared: Callable[[argparse.ArgumentParser], None]) -> None:
    """Declare the command."""
    parser = subparsers.add_parser("edit", help="compress, scale, rewind, merge or convert an adapter")
    parser.add_argument(
        "adapter", metavar="RUN_ID|DIR|FILE", help="a finished run, an adapter folder, a zip of one, or a LoRA file"
    )
    parser.add_argument("--act", action="append", default=[], dest="acts", metavar="ACT", help=ACTS_HELP)
    parser.add_argument("--out", required=True, metavar="DIR", help="a folder that does not exist yet, or is empty")
    parser.add_argument("--base", metavar="MODEL_OR_DIR", help="the model that the adapter was trained on")
    parser.add_argument("--task", help="score before and after on its test split: own for a run's, or digits, …")
    parser.add_argument("--margin", type=float, metavar="X", help="largest difference in score that does not matter")
    add_shared(parser)
    parser.set_defaults(run=edit)


def edit(arguments: argparse.Namespace) -> None:
    """Acts on an adapter, and what they did to it."""
    from neatlab.cli.terminal import LayerProgressBar
    from neatlab.editing import edit as edit_adapter

    with LayerProgressBar() as progress:
        words = {name: getattr(arguments, name) for name in ("task", "margin", "runs")}
        done = edit_adapter(
            arguments.adapter, arguments.acts, arguments.out, arguments.base, on_layer=progress, **words
        )
    if arguments.json:
        print_json(done.to_dict())
        return
    print(_table(done), "", _sum(done), *([done.proof.sentence] if done.proof else []), f"wrote {done.out}", sep="\n")


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
