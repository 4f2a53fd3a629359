"""Rules that failed as SARIF 2.1.0, the form in which code hosts and editors take what a check says."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from neatlab import __version__
from neatlab.inspection.adapter_folder import TENSORS
from neatlab.inspection.rules import Failure, Rules
from neatlab.runtime.files import PathLike

VERSION = "2.1.0"
SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def sarif(rules: Rules, failures: Sequence[Failure], folders: Mapping[str, PathLike]) -> dict[str, Any]:
    """The log of one check.

    Args:
        rules: All rules.
        failures: What failed.
        folders: Title of an adapter → its folder; a relative one stays relative, as code hosts want it.

    Returns:
        Plain values for JSON.
    """
    driver = {
        "name": "neatlab inspect",
        "version": __version__,
        "rules": [{"id": rule, "shortDescription": {"text": rules.about(rule)}} for rule in rules.names],
    }
    results = [_result(rules, failure, folders[failure.adapter]) for failure in failures]
    return {"$schema": SCHEMA, "version": VERSION, "runs": [{"tool": {"driver": driver}, "results": results}]}


def _result(rules: Rules, failure: Failure, folder: PathLike) -> dict[str, Any]:
    file = {"physicalLocation": {"artifactLocation": {"uri": _uri(Path(folder))}}}
    layer = {"logicalLocations": [{"fullyQualifiedName": failure.layer, "kind": "module"}]}
    return {
        "ruleId": failure.rule,
        "ruleIndex": rules.names.index(failure.rule),
        "level": "error",
        "message": {"text": f"{failure.layer}: {failure.text}"},
        "locations": [{**file, **layer}],
    }


def _uri(folder: Path) -> str:
    """Of the adapter's tensors; of what is no folder, the path itself."""
    path = folder / TENSORS if folder.is_dir() else folder
    return path.as_uri() if path.is_absolute() else quote(path.as_posix())
