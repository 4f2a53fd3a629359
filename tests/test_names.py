"""The words that say nothing of a value are not names here."""

import ast
from pathlib import Path

import pytest

import neatlab

SOURCES = sorted(Path(neatlab.__file__).parent.rglob("*.py"))
BANNED = {"told", "found", "odd"}


def names(source: str) -> set[str]:
    """Every name that the source gives to something: variables, arguments, attributes, functions, classes."""
    nodes = list(ast.walk(ast.parse(source)))
    stored = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    attributes = {n.attr for n in nodes if isinstance(n, ast.Attribute)}
    defined = {n.name for n in nodes if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)}
    return stored | attributes | defined | {n.arg for n in nodes if isinstance(n, ast.arg | ast.keyword) and n.arg}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: "/".join(path.parts[-2:]))
def test_names_say_what_they_hold(path: Path) -> None:
    assert not names(path.read_text(encoding="utf-8")) & BANNED, f"{path.name}: say what the value is"


@pytest.mark.parametrize("planted", ["odd = 1", "def told(): ...", "f(found=1)", "x.found", "lambda found: 1"])
def test_a_banned_name_is_seen(planted: str) -> None:
    assert names(planted) & BANNED
