"""What each command does. Heavy imports stay inside: `neatlab runs list` needs no Dask, a refusal no torch."""

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from neatlab.cli.describe import describe
from neatlab.errors import BadInput
from neatlab.runtime.distributed import is_main

if TYPE_CHECKING:
    pass


def compare(arguments: argparse.Namespace) -> None:
    """Train arms and compare them."""
    from neatlab.cli.terminal import ProgressBar
    from neatlab.experiments.compare import compare as compare_arms

    check_report(arguments)
    request = _request(arguments)
    describe(request["task"], {} if arguments.recipe else {**request["training"], "steps": request.get("steps")})
    with ProgressBar() as progress:
        comparison = compare_arms(
            **request,
            match=arguments.match,
            runs=arguments.runs,
            on_event=progress,
            on_look=_say_look,
            **_judging(arguments),
        )
    _answer(comparison, arguments)


def _request(arguments: argparse.Namespace) -> dict[str, Any]:
    """Task, arms, learning rate and steps: the recipe's, and what the command line puts in their place."""
    given = {name: getattr(arguments, name) for name in ("task", "arms", "lr", "steps")}
    options = {name: value for name, value in given.items() if value is not None}
    if "task" in options:
        from neatlab.tasks import TaskSpec

        options["task"] = TaskSpec.parse(options["task"])
    training = training_settings(arguments)
    if arguments.recipe is None:
        for name, option in (("task", "--task, such as --task digits"), ("arms", "--arm, such as --arm lora:rank=4")):
            if name not in options:
                raise BadInput(f"compare needs {option}; or --recipe")
        return {**options, "training": training}
    if "task" in options:
        raise BadInput("--task beside --recipe; a recipe has its task, and --recipe NAME:option=value changes it")
    from neatlab.recipes import load_recipe

    recipe = load_recipe(arguments.recipe)
    for line in recipe.describe():
        print(f"neatlab: {line}", file=sys.stderr)
    request = recipe.request()
    return {**request, **options, "training": {**request.get("training", {}), **training}}


def _judging(arguments: argparse.Namespace) -> dict[str, Any]:
    """How many seeds, and what the verdict rests on."""
    return {name: getattr(arguments, name) for name in ("seeds", "max_seeds", "budget", "margin", "over")}


def _say_look(look: Any) -> None:
    if is_main():
        print(f"neatlab: {look}", file=sys.stderr)


def training_settings(arguments: argparse.Namespace) -> dict[str, str]:
    """Further training settings; steps and lr have options of their own, which would win in silence."""
    from neatlab.schema import parse_pairs

    pairs = parse_pairs(arguments.train, "--train")
    for name in ("steps", "lr"):
        if name in pairs:
            raise BadInput(f"--train {name}={pairs[name]}: write --{name} {pairs[name]}")
    return pairs


def sweep(arguments: argparse.Namespace) -> None:
    """Train a grid of arms and compare them."""
    from neatlab.cli.terminal import SweepProgressBar
    from neatlab.experiments.sweep import Sweep, check_size
    from neatlab.tasks import TaskSpec

    arms, grid, defaults = _grid(arguments)
    check_size(arms, grid, arguments.max_seeds if arguments.seeds == "auto" else arguments.seeds, arguments.yes)
    task = TaskSpec.parse(arguments.task)
    request = Sweep(
        task,
        arms,
        grid,
        reference=arguments.reference or defaults.get("reference"),
        lr=arguments.lr,
        match=arguments.match or defaults.get("match"),
        training={**training_settings(arguments), "steps": arguments.steps},
        runs=arguments.runs,
        **_judging(arguments),
    )
    if arguments.dry_run:
        _print_estimate(request.estimate(arguments.workers), arguments.json)
        return
    check_report(arguments)
    describe(task, {**training_settings(arguments), "steps": arguments.steps})
    with SweepProgressBar([] if arguments.lr == "auto" else request.todo) as progress:
        cluster = {"workers": arguments.workers, "scheduler": arguments.scheduler}
        comparison = request.run(**cluster, prune=arguments.prune, on_event=progress, on_look=_say_look)
    _answer(comparison, arguments)


def _grid(arguments: argparse.Namespace) -> tuple[list[str], dict[str, list[str]], dict[str, Any]]:
    """Arms, axes and defaults of the request: the preset's, and what the command line adds."""
    from neatlab.experiments.presets import SWEEPS, SweepPreset
    from neatlab.schema import parse_pairs

    preset = SWEEPS[arguments.preset] if arguments.preset else SweepPreset((), {}, {})
    pairs = parse_pairs(arguments.grid, "--grid").items()
    grid = {**preset.grid, **{axis: [v.strip() for v in values.split(",")] for axis, values in pairs}}
    arms = [*preset.arms, *arguments.arms]
    if not arms:
        raise BadInput("a sweep needs --arm, such as --arm neat, or --preset")
    return arms, grid, preset.settings


def _print_estimate(estimate: Any, as_json: bool) -> None:
    if as_json:
        print_json(vars(estimate))
        return
    print(
        f"{estimate.runs} runs, {estimate.finished} of them there already; "
        f"{estimate.steps:,} steps to do, about {estimate.seconds:.0f} s"
    )


def check_report(arguments: argparse.Namespace) -> None:
    """Refuse a report that cannot be written, before hours of training."""
    if arguments.report:
        from neatlab.report import check_target

        check_target(arguments.report)


def _answer(comparison: Any, arguments: argparse.Namespace) -> None:
    from neatlab.cli.terminal import comparison_text

    if not is_main():
        return
    if arguments.report:
        from neatlab.report import write_report

        write_report(comparison, arguments.report, shlex.join(["neatlab", *arguments.words]))
    if arguments.json:
        print_json(comparison.to_dict())
        return
    print(comparison_text(comparison))


def export(arguments: argparse.Namespace) -> None:
    """A finished run's adapter, or an adapter folder, in another form."""
    errors = _exported(arguments)
    if arguments.json:
        print_json({"run": arguments.id, "format": arguments.format, "out": arguments.out, "relative_error": errors})
        return
    print(f"wrote {arguments.out}")
    for layer, error in errors.items():
        print(f"{layer}: relative error {error:.1e}")


def _exported(arguments: argparse.Namespace) -> dict[str, float]:
    if Path(arguments.id, "adapter_config.json").is_file():
        from neatlab.export.folders import export_folder

        return export_folder(arguments.id, arguments.format, arguments.out, arguments.base)
    from neatlab.export.adapters import export as export_run
    from neatlab.runs.store import Store

    if arguments.base:
        raise BadInput("--base goes with an adapter folder; a run knows its own")
    return export_run(Store(arguments.runs).get(arguments.id), arguments.format, arguments.out)


def inspect(arguments: argparse.Namespace) -> None:
    """What adapters did to the weights."""
    from neatlab.cli.check import Check
    from neatlab.cli.terminal import LayerProgressBar, inspection_table
    from neatlab.inspection import checkpoints, compare_adapters
    from neatlab.inspection import inspect as open_adapter

    check_report(arguments)
    check = Check(arguments)
    if len(arguments.paths) == 1 and checkpoints(arguments.paths[0]):
        inspect_trajectory(arguments)
        return
    paths, directions = arguments.paths, arguments.directions
    with LayerProgressBar() as progress, check.not_finite():
        if len(paths) > 1:
            inspection: Any = compare_adapters(paths, arguments.base, directions=directions, on_layer=progress)
        else:
            inspection = open_adapter(paths[0], arguments.base, directions=directions, on_layer=progress)
    check.hold(inspection)
    if arguments.report:
        from neatlab.report.inspection import write_inspection

        write_inspection(inspection, arguments.report, shlex.join(["neatlab", *arguments.words]))
    if arguments.json:
        print_json({**inspection.to_dict(), **check.document()})
        check.finish()
        return
    for adapter in inspection.inspections:
        left_out = [f"left out: {name}, {reason}" for name, reason in adapter.left_out.items()]
        print(adapter.title, inspection_table(adapter.rows()), "", *adapter.verdict(), *left_out, "", sep="\n")
    if len(paths) > 1:
        print(*inspection.verdict(), sep="\n")
    check.finish()


def inspect_trajectory(arguments: argparse.Namespace) -> None:
    """How ΔW goes its way through the checkpoints of a training."""
    from neatlab.cli.terminal import LayerProgressBar, trajectory_text
    from neatlab.inspection import inspect_checkpoints

    for option in ("check", "report"):
        if getattr(arguments, option) is not None:
            path = arguments.paths[0]
            raise BadInput(f"--{option} is of one adapter, and {path} holds several; give {path}/checkpoint-…")
    with LayerProgressBar() as progress:
        trajectory = inspect_checkpoints(arguments.paths[0], arguments.base, on_layer=progress)
    if arguments.json:
        print_json(trajectory.to_dict())
        return
    print(trajectory_text(trajectory), "", *trajectory.verdict(), sep="\n")


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode() + "\n")
