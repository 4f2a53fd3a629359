"""The public face: what a user imports is typed, loaded late, and explained by `help`."""

import ast
import os
import pydoc
import subprocess
import sys
import warnings
from importlib import import_module
from pathlib import Path

import pytest

import neatlab
from neatlab import plots
from neatlab.cli import main

pytestmark = pytest.mark.process

FIRST = Path(__file__).parent / "data" / "first_runs"
HEAVY = {"torch", "transformers", "peft", "gradio", "plotly", "dask", "scipy", "sklearn"}


def loaded(code: str, *words: str) -> set[str]:
    """The modules that another Python has loaded after `code`."""
    script = f"import sys\n{code}\nprint('\\n', *sys.modules)"
    run = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, check=True)
    return set(run.stdout.splitlines()[-1].split())


def test_the_package_alone_loads_nothing():
    assert not loaded("import neatlab") & (HEAVY | {"numpy", "pandas", "pydantic"})


def test_runs_are_listed_without_torch():
    list_runs = "from neatlab.cli import main\nassert main(['runs', 'list', '--runs', sys.argv[1]]) == 0"
    assert "pandas" in (modules := loaded(list_runs, str(FIRST)))
    assert not modules & HEAVY


def test_a_command_leaves_the_process_as_it_was(monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    before = dict(os.environ), warnings.showwarning
    assert main(["runs", "list", "--runs", str(FIRST)]) == 0
    assert (dict(os.environ), warnings.showwarning) == before


def test_plots_and_the_list_of_methods_need_no_torch():
    assert not loaded("import neatlab\nneatlab.plots.intervals, neatlab.METHODS") & {"torch", "transformers", "peft"}


def test_a_replay_needs_no_server():
    assert not loaded("import neatlab\nneatlab.replay") & {"gradio", "peft", "dask"}


def test_what_a_type_checker_sees_is_what_python_loads():
    imports = [
        node for node in ast.parse(Path(neatlab.__file__ + "i").read_text()).body if isinstance(node, ast.ImportFrom)
    ]
    assert {alias.asname: node.module for node in imports for alias in node.names} == neatlab._HOMES
    for name in neatlab.__all__:
        assert getattr(neatlab, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'compair'"):
        _ = neatlab.compair


def test_help_says_on_its_first_screen_what_to_call():
    first = "\n".join(pydoc.plain(pydoc.render_doc(neatlab)).splitlines()[:24])
    for name in ("compare", "sweep", "load_runs", "inspect", "plots", "NeatConfig", "METHODS", "TASKS"):
        assert name in first


def test_what_a_file_of_plots_offers_is_offered_by_the_package():
    folder = Path(plots.__file__).parent
    modules = [import_module(f"neatlab.plots.{path.stem}") for path in folder.glob("*.py") if path.stem != "__init__"]
    offering = [module for module in modules if hasattr(module, "__all__")]
    assert len(offering) >= 15
    for module in offering:
        for name in module.__all__:
            assert getattr(plots, name) is getattr(module, name)
