"""PEFT's types that no method of the lab trains, and that can state their ΔW all the same."""

from neatlab.inspection.further.base import defaults_of
from neatlab.inspection.further.table import CLOSED, FURTHER

__all__ = ["CLOSED", "FURTHER", "defaults_of"]
