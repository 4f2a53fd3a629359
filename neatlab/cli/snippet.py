"""`neatlab snippet`: a run, or an arm that nobody has trained, as a script for the user's own model."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from neatlab.cli.commands import print_json, training_settings
from neatlab.errors import BadInput

if TYPE_CHECKING:
    from neatlab.config import RunConfig
    from neatlab.runs.run import Run


def snippet(arguments: argparse.Namespace) -> None:
    """Print the script, or write it."""
    source = _source(arguments)
    from neatlab.export.snippet import snippet as write
    from neatlab.runs.run import Run

    script = write(source, arguments.form)
    if arguments.out:
        _write_new(arguments.out, script)
    if arguments.json:
        config = source.config if isinstance(source, Run) else source
        said = {"run": arguments.id, "arm": config.arm.label, "task": config.spec.label}
        print_json({**said, "form": arguments.form, "script": script, "out": arguments.out})
    else:
        print(f"wrote {arguments.out}\n" if arguments.out else script, end="")


def _source(arguments: argparse.Namespace) -> "Run | RunConfig":
    """The run; or what a comparison would train, as its words say."""
    from neatlab.runs.store import Store

    words = {name: getattr(arguments, name) for name in ("arm", "task", "lr", "steps", "train")}
    given = [f"--{name}" for name, value in words.items() if value]
    if arguments.id and given:
        raise BadInput(f"{given[0]} beside a run: a run has its own; leave out one of the two")
    if arguments.id:
        return Store(arguments.runs).get(arguments.id)
    if not arguments.arm:
        raise BadInput("snippet needs a run, as `neatlab runs list` shows them, or --arm, such as --arm neat:rank=4")
    if arguments.lr == "auto":
        raise BadInput("--lr auto: only training can tell; give a number, or a run of `neatlab compare --lr auto`")
    return _untrained(arguments)


def _untrained(arguments: argparse.Namespace) -> "RunConfig":
    from neatlab.config import make_run, parse_arm
    from neatlab.tasks import TaskSpec

    task, training = TaskSpec.parse(arguments.task or "digits"), training_settings(arguments)
    given = {**training, "lr": arguments.lr, "steps": arguments.steps}
    return make_run(task.name, parse_arm(arguments.arm), 0, task.options, given)


def _write_new(path: str, text: str) -> None:
    """The file may hold the user's own lines by now, and is never written over."""
    try:
        with Path(path).open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise BadInput(f"{path} cannot be written: {error.strerror}") from error
