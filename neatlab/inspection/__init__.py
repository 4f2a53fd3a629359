"""The inspector: open any adapter and see what it did to the weights."""

from neatlab.inspection.comparison import AdapterComparison, compare_adapters, compare_sources
from neatlab.inspection.opening import inspect, inspect_source
from neatlab.inspection.results import Inspection
from neatlab.inspection.trajectory import Trajectory, checkpoints, inspect_checkpoints
from neatlab.inspection.uploads import allowed_folder, open_upload

__all__ = [
    "AdapterComparison",
    "Inspection",
    "Trajectory",
    "allowed_folder",
    "checkpoints",
    "compare_adapters",
    "compare_sources",
    "inspect",
    "inspect_checkpoints",
    "inspect_source",
    "open_upload",
]
