"""Versions of the packages that neatlab stands on, and pairs of them that are known not to fit."""

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple

from packaging.version import Version

PACKAGES = (
    "torch",
    "transformers",
    "peft",
    "accelerate",
    "scikit-learn",
    "numpy",
    "pandas",
    "dask",
    "plotly",
    "gradio",
)


class Misfit(NamedTuple):
    """Two packages that do not work together.

    Args:
        package: From this `version` on …
        version: …
        other: … it does not work with this one …
        below: … before this version.
        command: What mends it.
    """

    package: str
    version: str
    other: str
    below: str
    command: str


MISFITS = (Misfit("transformers", "5.24", "peft", "0.22", "pip install 'transformers<5.24'"),)


def installed_versions() -> dict[str, str]:
    """Version of each of `PACKAGES` that is installed."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def misfits(installed: Mapping[str, str] | None = None) -> list[str]:
    """What is wrong with a set of installed versions, a line each with the command that mends it.

    Args:
        installed: Package → version; those of this environment by default.

    Example:
        >>> misfits({"transformers": "5.24.0", "peft": "0.21.2"})
        ["transformers 5.24.0 needs peft 0.22 or newer, peft 0.21.2 is installed; pip install 'transformers<5.24'"]
    """
    here = installed_versions() if installed is None else installed
    return [
        f"{row.package} {here[row.package]} needs {row.other} {row.below} or newer, "
        f"{row.other} {here[row.other]} is installed; {row.command}"
        for row in MISFITS
        if row.package in here
        and row.other in here
        and Version(here[row.package]) >= Version(row.version)
        and Version(here[row.other]) < Version(row.below)
    ]
