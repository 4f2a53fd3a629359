"""The table of what LoRA, PEANuT and NEAT can do, as the documentation shows it."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# What NEAT does not do; a row that is not here may not lose its mark.
MISSING = {"hotswapping"}


@pytest.fixture(scope="module")
def capabilities():
    spec = importlib.util.spec_from_file_location("capabilities", ROOT / "benchmarks" / "capabilities.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def rows(capabilities):
    return capabilities.rows()


def test_neat_has_every_row_but_those_that_are_said(rows):
    assert {name for name, marks in rows.items() if not marks["NEAT"]} == MISSING


def test_the_documentation_shows_the_table(capabilities, rows):
    assert capabilities.table(rows) in (ROOT / "docs" / "peft.md").read_text()


def test_a_mark_is_for_right_numbers(capabilities):
    assert not capabilities.works(lambda _: False, "NEAT")
    assert not capabilities.works(lambda method: capabilities.METHODS[method](no_such_field=1), "NEAT")
    assert capabilities.works(capabilities.merges, "NEAT")
