"""neatlab: NEAT and LoRA side by side, with spectra, matched budgets and intervals.

    import neatlab

    result = neatlab.compare("digits", ["lora:rank=4", "neat:rank=4,depth=4"], seeds=3)
    print(*result.verdict(), sep="\\n")
    neatlab.plots.intervals(result).show()

compare      train arms on the same task, budget and seeds, and compare them: a `Comparison`
sweep        the same for a grid of settings, many runs at once
suite        the same arms on a table of tasks, and what the tasks show together: a `SuiteResult`
load_runs    the runs of a folder as tables, `.frame()`, `.curves()`, `.spectra()`, `.answers()`: `Results`
inspect      what an adapter folder, NEAT's, LoRA's or another's, did to the weights: an `Inspection`
edit         compress, scale, merge or convert an adapter: an `Edit`; edit_curve: an act at several values, scored
replay       finished runs as one offline page with a slider through time: a `Replay`
rewind       a finished run with W₀ + α·ΔW in place of W₀ + ΔW, for several α
plots        Plotly figures of all of these; NeatlabCallback: a Trainer's training as a run, while it goes
NeatConfig   NEAT as a PEFT method: `peft.get_peft_model(model, neatlab.NeatConfig(r=8))`
METHODS      what an arm can name; TASKS: what a task can name; data: the settings it comes with, as a list

Each has its own help: `help(neatlab.compare)`. On the command line: `neatlab --help`. Names are loaded when first
used: importing the package costs neither torch nor gradio nor plotly. Once PEFT is imported too, it knows NEAT.
"""

from typing import Any

from neatlab.runtime.registration import register_with_peft

__version__ = "0.1.0"

# Name → the module that it is loaded from when first used; __init__.pyi says the same to editors and type checkers.
_HOMES = {
    "Arm": "neatlab.config",
    "BadInput": "neatlab.errors",
    "Comparison": "neatlab.runs.comparison",
    "Edit": "neatlab.editing",
    "EditCurve": "neatlab.editing",
    "Inspection": "neatlab.inspection",
    "MissingExtra": "neatlab.errors",
    "METHODS": "neatlab.adapters.methods",
    "NeatConfig": "neatlab.adapters.neat",
    "NeatLinear": "neatlab.adapters.neat",
    "NeatModel": "neatlab.adapters.neat",
    "NeatlabCallback": "neatlab.experiments.callback",
    "NeatlabError": "neatlab.errors",
    "Results": "neatlab.runs.results",
    "StoreError": "neatlab.errors",
    "SuiteResult": "neatlab.runs.suite",
    "TASKS": "neatlab.tasks",
    "compare": "neatlab.experiments.compare",
    "data": "neatlab.experiments.data",
    "edit": "neatlab.editing",
    "edit_curve": "neatlab.editing",
    "inspect": "neatlab.inspection",
    "load_runs": "neatlab.runs.results",
    "plots": "neatlab",
    "replay": "neatlab.dashboard.replay.page",
    "rewind": "neatlab.experiments.rewind",
    "suite": "neatlab.experiments.suite",
    "sweep": "neatlab.experiments.sweep",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    from neatlab.runtime.lazy import load

    if name not in _HOMES:
        raise AttributeError(f"module 'neatlab' has no attribute {name!r}")
    if name == "plots":
        return load("neatlab.plots", "neatlab.plots")
    return getattr(load(_HOMES[name], f"neatlab.{name}"), name)


def __dir__() -> list[str]:
    return __all__


register_with_peft()
