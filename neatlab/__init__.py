"""neatlab: NEAT and LoRA side by side, with spectra, matched budgets and intervals.

Names are loaded when first used: importing the package costs neither torch nor gradio nor plotly.
"""

from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "Arm": "neatlab.config",
    "BadInput": "neatlab.errors",
    "MissingExtra": "neatlab.errors",
    "METHODS": "neatlab.adapters.methods",
    "NeatConfig": "neatlab.adapters.neat",
    "NeatLinear": "neatlab.adapters.neat",
    "NeatModel": "neatlab.adapters.neat",
    "NeatlabError": "neatlab.errors",
    "StoreError": "neatlab.errors",
    "TASKS": "neatlab.tasks",
    "compare": "neatlab.experiments.compare",
    "inspect": "neatlab.inspection",
    "load_runs": "neatlab.runs.results",
    "sweep": "neatlab.experiments.sweep",
}

__all__ = sorted([*_HOMES, "plots"])


def __getattr__(name: str) -> Any:
    from neatlab.runtime.lazy import load

    if name == "plots":
        return load("neatlab.plots", "neatlab.plots")
    if name not in _HOMES:
        raise AttributeError(f"module 'neatlab' has no attribute {name!r}")
    return getattr(load(_HOMES[name], f"neatlab.{name}"), name)


def __dir__() -> list[str]:
    return __all__
