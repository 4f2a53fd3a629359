"""`neatlab inspect --check`: rules held against what was measured, said in words, JSON and SARIF."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neatlab.cli.commands import print_json
from neatlab.errors import BadInput, NeatlabError, NotFinite

if TYPE_CHECKING:
    from neatlab.inspection.rules import Failure, Rules


class CheckFailed(NeatlabError):
    """An adapter fails its rules."""


class Check:
    """Rules from the command line, and what fails them; without `--check` it says nothing and lets everything pass.

    Args:
        arguments: Of `inspect`.

    Raises:
        BadInput: Rules that cannot be read, or that ask for a base that is not given; a file that cannot be written.
    """

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments, self._failures = arguments, list["Failure"]()
        self._rules: Rules | None = None
        self._folders: dict[str, str] = {}
        if arguments.check is not None:
            self._rules = _read(arguments)
        elif arguments.sarif is not None:
            raise BadInput("--sarif says which rules failed; give them with --check RULES.toml")

    @contextmanager
    def not_finite(self) -> Iterator[None]:
        """What holds NaN cannot be measured: where that is a rule, it is the one that fails."""
        try:
            yield
        except NotFinite as error:
            if self._rules is None or "nan" not in self._rules.flags:
                raise
            self._fail_as_not_finite(error)

    def _fail_as_not_finite(self, error: NotFinite) -> None:
        from neatlab.inspection.rules import Failure

        path = _holding(self._arguments.paths)
        self._folders = {path: path}
        self._failures = [Failure("nan", path, error.where, float("nan"), str(error))]
        if self._arguments.json:
            print_json(self.document())
        self.finish()

    def hold(self, inspection: Any) -> None:
        """Hold the rules against an inspection, or against each of a comparison."""
        if self._rules is not None:
            inspections = inspection.inspections
            self._folders = dict(zip((one.title for one in inspections), self._arguments.paths, strict=True))
            self._failures = [failure for one in inspections for failure in self._rules.failures(one)]

    def document(self) -> dict[str, Any]:
        """What JSON says of it."""
        if self._rules is None:
            return {}
        failures = [{**vars(failure), "value": _plain(failure.value)} for failure in self._failures]
        return {"check": {"passed": not failures, "rules": self._rules.to_dict(), "failures": failures}}

    def finish(self) -> None:
        """Write SARIF, say what failed, and end so that a pipeline notices.

        Raises:
            CheckFailed: A rule failed.
        """
        if self._rules is None:
            return
        if self._arguments.sarif is not None:
            self._write(Path(self._arguments.sarif))
        if not self._arguments.json:
            print(*self._lines(), sep="\n")
        if failing := {failure.rule for failure in self._failures}:
            layers = len({failure.layer for failure in self._failures})
            raise CheckFailed(f"{len(failing)} of {len(self._rules.names)} rules failed, in {layers} layers")

    def _lines(self) -> list[str]:
        rules = self._rules.names if self._rules else []
        by_rule = {rule: [failure for failure in self._failures if failure.rule == rule] for rule in rules}
        several = len(self._folders) > 1
        lines = []
        for rule, failures in by_rule.items():
            lines.append(f"{rule}: {f'failed in {len(failures)}' if failures else 'passed'}")
            lines += [f"  {f'{f.adapter}, ' * several}{f.layer}: {f.text}" for f in failures]
        return lines

    def _write(self, target: Path) -> None:
        from neatlab.inspection.sarif import sarif
        from neatlab.runs.writer import write_json

        if self._rules is not None:
            try:
                write_json(target, sarif(self._rules, self._failures, self._folders))
            except OSError as error:
                raise BadInput(f"{target} cannot be written: {error.strerror or error}") from error


def _read(arguments: argparse.Namespace) -> "Rules":
    from neatlab.inspection.origin import ORIGIN
    from neatlab.inspection.rules import read_rules

    rules = read_rules(arguments.check)
    if arguments.sarif is not None and not Path(arguments.sarif).absolute().parent.is_dir():
        raise BadInput(f"--sarif {arguments.sarif}: its folder does not exist; make it first")
    needs, names_task = rules.of_base, [Path(path, ORIGIN).is_file() for path in arguments.paths]
    if needs and arguments.base is None and not all(names_task):
        raise BadInput(f"rule {needs} needs the model before; give it with --base")
    return rules


def _holding(paths: list[str]) -> str:
    """The first of several adapters that holds NaN."""
    from neatlab.inspection.adapter_folder import read_adapter

    for path in paths[:-1]:
        try:
            read_adapter(Path(path))
        except NotFinite:
            return path
        except BadInput:
            continue
    return paths[-1]


def _plain(value: float) -> float | None:
    return value if value == value else None
