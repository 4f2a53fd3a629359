"""The examples of the public names' docstrings run as they stand, in a folder of their own."""

import doctest
from importlib import import_module
from pathlib import Path

import pytest

import neatlab

# What `from neatlab import …` gives, and the docstring that has its example.
EXAMPLES = {
    "compare": "neatlab.experiments.compare.compare",
    "sweep": "neatlab.experiments.sweep.sweep",
    "suite": "neatlab.experiments.suite.suite",
    "data": "neatlab.experiments.data.data",
    "rewind": "neatlab.experiments.rewind.rewind",
    "NeatlabCallback": "neatlab.experiments.callback.NeatlabCallback",
    "load_runs": "neatlab.runs.results.load_runs",
    "Comparison": "neatlab.runs.comparison.Comparison",
    "Results": "neatlab.runs.results.Results",
    "SuiteResult": "neatlab.runs.suite.SuiteResult",
    "inspect": "neatlab.inspection.opening.inspect",
    "Inspection": "neatlab.inspection.results.Inspection",
    "NeatConfig": "neatlab.adapters.neat.config.NeatConfig",
    "METHODS": "neatlab.adapters.methods.table",
    "TASKS": "neatlab.tasks",
    "plots": "neatlab.plots",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The examples go on with each other's runs: one training for all."""
    path = tmp_path_factory.mktemp("examples")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        neatlab.compare("teacher:d_in=16,d_out=16", ["lora:rank=2", "neat:rank=2"], seeds=2, steps=20)
    return path


def documented(path: str) -> object:
    try:
        return import_module(path)
    except ModuleNotFoundError:
        module, _, name = path.rpartition(".")
        return getattr(import_module(module), name)


@pytest.mark.parametrize("name", EXAMPLES)
def test_example(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    tests = doctest.DocTestFinder(recurse=False).find(documented(EXAMPLES[name]), EXAMPLES[name], globs={})
    examples = [test for test in tests if test.examples]
    assert examples, f"{EXAMPLES[name]} has no example"
    report: list[str] = []
    for test in examples:
        doctest.DocTestRunner(verbose=False, optionflags=doctest.NORMALIZE_WHITESPACE).run(test, out=report.append)
    assert report == [], "".join(report)
