"""Files, classes and functions that one can take in at once; how complex a function may be is ruff's to check."""

import ast
import statistics
from pathlib import Path

import neatlab

MAX_FILE, MAX_CLASS, MAX_BODY_P90 = 300, 150, 15
SOURCES = {path: path.read_text(encoding="utf-8") for path in sorted(Path(neatlab.__file__).parent.rglob("*.py"))}
NODES = {path: list(ast.walk(ast.parse(text))) for path, text in SOURCES.items()}


def lines(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of the body without the docstring."""
    body = function.body[ast.get_docstring(function) is not None :]
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_no_file_is_too_long() -> None:
    assert {p.name: n for p, text in SOURCES.items() if (n := len(text.splitlines())) > MAX_FILE} == {}


def test_no_class_is_too_long() -> None:
    classes = [node for nodes in NODES.values() for node in nodes if isinstance(node, ast.ClassDef)]
    assert {node.name: lines(node) for node in classes if lines(node) > MAX_CLASS} == {}


def test_functions_are_short() -> None:
    functions = [n for nodes in NODES.values() for n in nodes if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert statistics.quantiles(map(body_lines, functions), n=10)[-1] <= MAX_BODY_P90
