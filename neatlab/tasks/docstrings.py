"""Text that every installation has: documentation strings of the scientific packages that neatlab needs anyway.

They are read from the source files, which are parsed and not run. Package names are masked; a text that begins as
another one does is left out; a module's texts all go to the same split.
"""

import ast
import hashlib
import re
import warnings
from collections.abc import Iterator
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from neatlab.tasks.base import Split

PACKAGES = {  # module → distribution
    "dask": "dask",
    "networkx": "networkx",
    "numpy": "numpy",
    "pandas": "pandas",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "sympy": "sympy",
    "torch": "torch",
}
MASK = "package"
SHARES: tuple[tuple[Split, int], ...] = (("train", 50), ("validation", 70), ("test", 100))  # of modules, cumulated
MAX_PER_MODULE = 4  # texts of one module at most
MIN_WORDS, MAX_WORDS = 15, 50
PREFIX_LETTERS = 60  # letters by which two texts count as the same

_NAMES = re.compile(
    r"numpy|scipy|scikits?([-_. ]?learn)?|sklearn|pandas|pydata|(py)?torch\w*|networkx|sympy|dask|\b(np|pd|nx|plt)\b",
    re.IGNORECASE,
)
_SECTION = re.compile(
    r"\n[^\n]*\n\s*[-=~^]{3,}\s*\n|\n\s*\.\. |\n\s*>>>|\n\s*(Args|Arguments|Returns|Raises|Examples?):"
)
_SKIPPED = {"tests", "test", "testing", "_vendored", "externals", "vendor", "third_party", "_vendor"}


class Text(NamedTuple):
    """One documentation string: the text and the index of its package in PACKAGES."""

    text: str
    label: int


def packages_now() -> str:
    """The packages and versions that the texts come from: "dask-2026.8.0 networkx-3.6.1 …"."""
    versions = {name: version(distribution).partition("+")[0] for name, distribution in PACKAGES.items()}
    return " ".join(f"{name}-{number}" for name, number in versions.items())


@lru_cache(maxsize=2)
def docstring_splits(seed: int, train: int, validation: int, test: int) -> dict[Split, list[Text]]:
    """As many texts of every package in each split.

    Args:
        seed: Seed of which modules are taken and where they go.
        train: Texts a package to train on.
        validation: Texts a package to validate on.
        test: Texts a package to test on.
    """
    wanted: dict[Split, int] = {"train": train, "validation": validation, "test": test}
    parts: dict[Split, list[Text]] = {name: [] for name in wanted}
    seen: set[str] = set()
    for label, package in enumerate(PACKAGES):
        for name, texts in _package_splits(package, seed, wanted, seen).items():
            parts[name] += [Text(text, label) for text in texts]
    return parts


def _package_splits(package: str, seed: int, wanted: dict[Split, int], seen: set[str]) -> dict[Split, list[str]]:
    parts: dict[Split, list[str]] = {name: [] for name in wanted}
    for number, path in _modules(package, seed):
        name = next(split for split, bound in SHARES if number % 100 < bound)
        missing = wanted[name] - len(parts[name])
        fresh = (text for text in _texts(path) if _is_new(text, seen)) if missing else ()
        parts[name] += islice(fresh, min(missing, MAX_PER_MODULE))
        if all(len(parts[split]) == count for split, count in wanted.items()):
            break
    return parts


def _modules(package: str, seed: int) -> list[tuple[int, Path]]:
    """The package's source files in an order of the seed's, each with the number that it is ordered by."""
    spec = find_spec(package)
    root = Path(str(spec.origin if spec else None)).parent
    paths = (path.relative_to(root) for path in root.rglob("*.py"))
    named = [path for path in paths if not _SKIPPED & {*path.parts} and not path.name.startswith("test_")]
    keyed = [(hashlib.sha256(f"{seed}/{package}/{path.as_posix()}".encode()).digest(), path) for path in named]
    return [(int.from_bytes(key[:8]), root / path) for key, path in sorted(keyed)]


def _texts(path: Path) -> Iterator[str]:
    """The masked beginnings of a file's documentation strings, in its order."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an invalid escape in someone else's source
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (SyntaxError, ValueError, OSError):
            return
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            words = masked(ast.get_docstring(node) or "").split()
            if len(words) >= MIN_WORDS:
                yield " ".join(words[:MAX_WORDS])


def masked(docstring: str) -> str:
    """What comes before the first section, with the packages' names replaced."""
    return _NAMES.sub(MASK, _SECTION.split(docstring, maxsplit=1)[0])


def _is_new(text: str, seen: set[str]) -> bool:
    beginning = re.sub(r"[^a-z]", "", text.lower())[:PREFIX_LETTERS]
    if beginning in seen:
        return False
    seen.add(beginning)
    return True
