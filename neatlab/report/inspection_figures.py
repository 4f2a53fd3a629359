"""The figures of an inspection, each with what it says in words."""

from neatlab.inspection import AdapterComparison, Inspection
from neatlab.report.figures import Figure


def inspection_figures(found: Inspection | AdapterComparison) -> list[Figure]:
    """Every figure that there is something for.

    Args:
        found: One inspection, or several beside each other.
    """
    return []
